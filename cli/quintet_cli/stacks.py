"""A stage's stack: its outputs, and readable reasons if they cannot be read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)

__all__ = [
    "AGAIN",
    "ENDPOINT",
    "NoStage",
    "StageError",
    "api_at",
    "configured",
    "explained",
    "no_credentials",
    "stack_outputs",
]

ENDPOINT = "AWS_ENDPOINT_URL"

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


#: the command that failed
AGAIN = ""


class StageError(Exception):
    """A command cannot go on: the text says why, `command` is what to run next.

    AGAIN is the failed one. Where a command of ours takes `--stage` and `--state`, those of the
    failed one are added.
    """

    def __init__(self, text: str, *, command: str) -> None:
        super().__init__(text)
        self.command = command


class NoStage(StageError):
    """There is no such stage."""


def configured(config: Path) -> dict[str, dict[str, Any]]:
    """The stages that samconfig.toml has: the parameters of their `sam deploy`, by name."""
    return {
        name: part["deploy"]["parameters"]
        for name, part in tomllib.loads(config.read_text()).items()
        if isinstance(part, dict) and "stack_name" in part.get("deploy", {}).get("parameters", {})
    }


def stack_outputs(stack: str) -> dict[str, str]:
    """Return the outputs of a stack of template.yaml, by name.

    Raises:
        NoStage: it does not exist.
        StageError: it is another application's, or cannot be read.
    """
    import boto3  # no help of a command needs it

    try:
        client = boto3.client("cloudformation")
        found: Any = client.describe_stacks(StackName=stack)["Stacks"][0]
    except (BotoCoreError, ClientError) as error:
        if why := explained(error):
            raise why from error
        if "does not exist" in str(error):
            raise _not_there(stack) from error
        raise StageError(f"stack {stack}: {error}", command="quintet doctor") from error
    outputs = {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}
    if "ApiUrl" not in outputs:
        raise StageError(
            f"stack {stack} is {found['StackStatus']} and has no output ApiUrl: its deployment "
            "did not end well, or it is another application's stack of that name",
            command=f"aws cloudformation describe-stack-events --stack-name {stack}",
        )
    return outputs


def api_at(endpoint: str, api_url: str) -> str:
    """Return the API's address below an endpoint such as LocalStack's, without host names for DNS.

    https://docs.localstack.cloud/aws/services/apigateway/
    """
    parts = urlsplit(api_url)
    api = str(parts.hostname).partition(".")[0]
    return f"{endpoint.rstrip('/')}/_aws/execute-api/{api}{parts.path}"


def no_credentials() -> StageError:
    """The error of a machine without AWS credentials."""
    return StageError(
        "no AWS credentials are configured: sign in, or set AWS_PROFILE", command="aws configure"
    )


def explained(error: BaseException | None) -> StageError | None:
    """Return an error of credentials, region or network in plain words; None for any other."""
    match error:
        case NoRegionError():
            return StageError(
                "no AWS region is configured: set AWS_REGION, or `region` in the profile",
                command="aws configure",
            )
        case NoCredentialsError():
            return no_credentials()
        case ConnectionError() | HTTPClientError():
            return StageError(
                f"{_place()} cannot be reached: {error}",
                command="quintet up --detach" if "//127.0.0.1:" in str(error) else "quintet doctor",
            )
        case ClientError():
            return _refused(error)
    return None


def _refused(error: ClientError) -> StageError | None:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _EXPIRED:
        return StageError(
            "the AWS credentials have expired: sign in again, or take new keys",
            command="aws sso login",
        )
    if code in _UNKNOWN:
        return StageError(
            f"{_place()} does not know the AWS credentials ({code}): they are revoked, or wrong",
            command="aws configure",
        )
    if code in _DENIED:
        return StageError(
            f"the AWS credentials are not allowed to do this: {error}",
            command="aws sts get-caller-identity",
        )
    return None


def _not_there(stack: str) -> NoStage:
    import boto3

    stage = stack.removeprefix("quintet-")
    region = boto3.Session().region_name
    text = (
        f"there is no stack {stack} in {region} of {_place()}; if it was made, it is in another "
        "region or account (AWS_REGION, AWS_PROFILE)"
    )
    if ENDPOINT not in os.environ:
        text += f"; LocalStack is asked when {ENDPOINT} names it"
    return NoStage(text, command=f"make deploy STAGE={stage}")


def _place() -> str:
    return os.environ.get(ENDPOINT, "AWS")
