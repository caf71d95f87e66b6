"""Requests to a stage's API, signed if the stage is on AWS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from quintet_cli.stacks import NO_CREDENTIALS, StageError
from quintet_cli.stage import Stage

__all__ = ["Answer", "Api"]

SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the API; `body` is its JSON, or its text."""

    status: int
    headers: dict[str, str]
    body: Any


class Api:
    """The API of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._url = stage.api_url
        self._signs = stage.endpoint_url is None
        self._pool = urllib3.PoolManager(retries=False, timeout=SECONDS)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request with a JSON body; `path` is below the stage, or a Location.

        Raises:
            StageError: the API cannot be reached, or there are no credentials.
        """
        url = self._url + path if self._is_below(path) else urljoin(self._url, path)
        data = b"" if body is None else json.dumps(body).encode()
        signed = AWSRequest(method, url, data=data, headers=headers or {})
        if self._signs:
            session = boto3.Session()
            credentials = session.get_credentials()
            if credentials is None:
                raise StageError(NO_CREDENTIALS)
            SigV4Auth(credentials, "execute-api", session.region_name).add_auth(signed)
        try:
            response = self._pool.request(method, url, body=data, headers=dict(signed.headers))
        except urllib3.exceptions.HTTPError as error:
            raise StageError(f"{url} cannot be reached: {error}") from error
        return Answer(response.status, dict(response.headers), _content(response.data))

    def _is_below(self, path: str) -> bool:
        """Whether a path is below the stage; a Location includes the stage's name instead."""
        stage = urlsplit(self._url).path
        return not stage or not path.startswith(f"{stage}/")


def _content(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")
