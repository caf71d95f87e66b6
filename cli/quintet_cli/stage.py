"""A stage: the API and resources of a deployed stack, or of the local AWS."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quintet.aws.client import ATTEMPTS, AwsClient
from quintet.aws.signing import Credentials
from quintet_cli.stacks import (
    ENDPOINT,
    NoStage,
    StageError,
    api_at,
    configured,
    no_credentials,
    stack_outputs,
)

__all__ = [
    "CONFIG",
    "DEFAULT_STATE",
    "Stage",
    "StageError",
    "all_stages",
    "local_environment",
]

DEFAULT_STATE = Path(".quintet")
CONFIG = Path("samconfig.toml")
REGION = "us-east-1"
CONNECT_SECONDS = 2.0
_PLACES = (ENDPOINT, "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")


@dataclass(frozen=True)
class Stage:
    """A deployed stack: `outputs` are its CloudFormation outputs by name.

    `endpoint_url` is the local AWS's, or AWS_ENDPOINT_URL (LocalStack); None on AWS.
    """

    name: str
    api_url: str
    outputs: dict[str, str]
    endpoint_url: str | None = None

    @property
    def seals_captures(self) -> bool:
        """Whether sensitive features are captured encrypted, where contracts ask for it."""
        return self.outputs.get("SealedCaptures") == "on"

    @classmethod
    def open(cls, name: str, state: Path = DEFAULT_STATE) -> Stage:
        """Open a stage by name: `local` from the local AWS's state, others from their stack.

        Raises:
            NoStage: the stage is not deployed or running.
            StageError: it cannot be opened.
        """
        return cls._local(state) if name == "local" else cls._deployed(name)

    @classmethod
    def _local(cls, state: Path) -> Stage:
        try:
            found = json.loads((state / "local.json").read_text(encoding="utf-8"))
            stage = cls("local", found["api_url"], found["outputs"], found["endpoint_url"])
        except FileNotFoundError:
            raise NoStage(
                f"no local AWS is running from {state}/ here", command="quintet up --detach"
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            raise StageError(
                f"{state / 'local.json'} is damaged", command="quintet up --detach"
            ) from error
        address = urlsplit(str(stage.endpoint_url))
        try:  # a killed one leaves its file behind
            socket.create_connection((address.hostname, address.port), CONNECT_SECONDS).close()
        except ConnectionRefusedError:
            raise NoStage(
                f"the local AWS of {state}/ is not running any more: nothing answers at "
                f"{stage.endpoint_url}",
                command="quintet up --detach",
            ) from None
        except (OSError, ValueError):  # whoever uses it says why it cannot be reached
            pass
        return stage

    @classmethod
    def _deployed(cls, name: str) -> Stage:
        outputs = stack_outputs(f"quintet-{name}")
        endpoint = os.environ.get(ENDPOINT)
        api = outputs["ApiUrl"]
        return cls(name, api_at(endpoint, api) if endpoint else api, outputs, endpoint)

    @cached_property
    def _session(self) -> Any:
        import boto3  # no help of a command needs it

        if not self._is_local:
            return boto3.Session()
        return boto3.Session("test", "test", region_name=REGION)

    @property
    def _is_local(self) -> bool:
        """Whether it is the local AWS, which ignores the user's AWS environment variables."""
        return self.name == "local"

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        return self._session.region_name or REGION

    @property
    def credentials(self) -> Any:
        """The user's AWS credentials, as botocore keeps them; those of the local AWS are its own.

        Raises:
            StageError: no AWS credentials are configured.
        """
        found = self._session.get_credentials()
        if found is None:
            raise no_credentials()
        return found

    def client(self, service: str) -> Any:
        """Return a boto3 client of the stage's service."""
        if not self._is_local:
            return self._session.client(service)
        from botocore.config import Config

        direct = Config(proxies={})
        return self._session.client(service, endpoint_url=self.endpoint_url, config=direct)

    def caller(self) -> str:
        """Return who uses the command: the ARN of the AWS identity, locally the user's name."""
        if self._is_local:
            try:
                return getpass.getuser()
            except (KeyError, OSError):  # a container's user may have no name
                return "the local user"
        return str(self._session.client("sts").get_caller_identity()["Arn"])

    def signed(self, service: str, *, attempts: int = ATTEMPTS) -> AwsClient:
        """Return the functions' lean client of the stage's service, for adapters that both use.

        It tries a call up to `attempts` times; a function has less time than a command.

        Raises:
            StageError: no AWS credentials are configured.
        """
        found = self.credentials
        environ = {"AWS_REGION": self.region}
        if not self._is_local:  # same endpoint as boto3's from the environment
            environ |= {n: v for n, v in os.environ.items() if n.startswith(_PLACES)}
        if self.endpoint_url is not None:
            environ[ENDPOINT] = self.endpoint_url

        def credentials() -> Credentials:  # the session renews credentials that expire
            key = found.get_frozen_credentials()
            return Credentials(key.access_key, key.secret_key, key.token)

        return AwsClient(service, environ=environ, credentials=credentials, attempts=attempts)


def local_environment(endpoint_url: str) -> dict[str, str]:
    """The environment in which AWS tools and SDKs use a local AWS."""
    return {
        ENDPOINT: endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def all_stages(state: Path, config: Path = CONFIG) -> tuple[list[Stage], dict[str, list[str]]]:
    """The stages that exist: the local one, and the stacks that samconfig.toml names.

    Those that cannot be opened, because of credentials or the network, are named by the reason.
    """
    names = list(configured(config)) if config.exists() else []
    found: list[Stage] = []
    unknown: dict[str, list[str]] = {}
    for name in ("local", *names):
        try:
            found.append(Stage.open(name, state))
        except NoStage:
            continue
        except StageError as error:
            unknown.setdefault(str(error), []).append(name)
    return found, unknown
