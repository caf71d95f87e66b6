"""A stage: the API and resources of a deployed stack, or of the local AWS."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from localstack_client.session import Session as LocalstackSession

from quintet.aws.client import AwsClient
from quintet.aws.signing import Credentials
from quintet_cli.stacks import ENDPOINT, NO_CREDENTIALS, StageError, api_at, stack_outputs

__all__ = ["DEFAULT_STATE", "Stage", "StageError"]

DEFAULT_STATE = Path(".quintet")
REGION = "us-east-1"


@dataclass(frozen=True)
class Stage:
    """A deployed stack: `outputs` are its CloudFormation outputs by name.

    `endpoint_url` is the local AWS's, or AWS_ENDPOINT_URL (LocalStack); None on AWS.
    """

    name: str
    api_url: str
    outputs: dict[str, str]
    endpoint_url: str | None = None

    @classmethod
    def open(cls, name: str, state: Path = DEFAULT_STATE) -> Stage:
        """The stage of that name: `local` from the local AWS's state, others from their stack.

        Raises:
            StageError: no such stage is deployed or running.
        """
        return cls._local(state) if name == "local" else cls._deployed(name)

    @classmethod
    def _local(cls, state: Path) -> Stage:
        try:
            found = json.loads((state / "local.json").read_text())
        except FileNotFoundError:
            raise StageError(
                f"no local AWS is running from {state}/ here; start one with `quintet up --detach`"
            ) from None
        return cls("local", found["api_url"], found["outputs"], found["endpoint_url"])

    @classmethod
    def _deployed(cls, name: str) -> Stage:
        outputs = stack_outputs(f"quintet-{name}")
        endpoint = os.environ.get(ENDPOINT)
        api = outputs["ApiUrl"]
        return cls(name, api_at(endpoint, api) if endpoint else api, outputs, endpoint)

    @cached_property
    def _session(self) -> Any:
        if self._is_boto3s:
            return boto3.Session()
        # localstack-client knows the conventions of local endpoints: dummy keys, one address
        return LocalstackSession(
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name=REGION,
            localstack_host=urlsplit(str(self.endpoint_url)).netloc,
        )

    @property
    def _is_boto3s(self) -> bool:
        """Whether boto3's defaults reach the stage: AWS, or AWS_ENDPOINT_URL."""
        return self.endpoint_url in {None, os.environ.get(ENDPOINT)}

    def client(self, service: str) -> Any:
        """A boto3 client of the stage's service."""
        return self._session.client(service)

    def signed(self, service: str) -> AwsClient:
        """The functions' lean client of the stage's service, for adapters that both use.

        Raises:
            StageError: there are no credentials.
        """
        if not self._is_boto3s:
            keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
            at = {"AWS_REGION": REGION, ENDPOINT: str(self.endpoint_url)}
            return AwsClient(service, environ=keys | at)
        found = self._session.get_credentials()
        if found is None:
            raise StageError(NO_CREDENTIALS)
        environ = {"AWS_REGION": self._session.region_name or REGION}
        if self.endpoint_url is not None:
            environ[ENDPOINT] = self.endpoint_url

        def credentials() -> Credentials:  # the session renews those that expire
            key = found.get_frozen_credentials()
            return Credentials(key.access_key, key.secret_key, key.token)

        return AwsClient(service, environ=environ, credentials=credentials)
