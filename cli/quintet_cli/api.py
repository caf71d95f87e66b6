"""Requests to a stage's API: with the user's key or token if there is one, else signed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from quintet_cli.stacks import StageError
from quintet_cli.stage import Stage

__all__ = ["Answer", "Api"]

SECONDS = 30
#: the variable with a key of `quintet keys`, or a token
KEY = "QUINTET_KEY"


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
        self._key = os.environ.get(KEY, "")
        auth = stage.outputs.get("ApiAuth", "iam" if stage.endpoint_url is None else "none")
        self._signs, self._stage = auth == "iam", stage
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
        if self._key:
            signed.headers["Authorization"] = f"Bearer {self._key}"
        elif self._signs:
            credentials = self._stage.credentials
            SigV4Auth(credentials, "execute-api", self._stage.region).add_auth(signed)
        try:
            response = self._pool.request(method, url, body=data, headers=dict(signed.headers))
        except urllib3.exceptions.HTTPError as error:
            raise StageError(
                f"{url} cannot be reached: {error}", command="quintet doctor"
            ) from error
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
