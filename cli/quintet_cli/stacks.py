"""A stage's stack: its outputs, and readable reasons if they cannot be read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)

__all__ = [
    "ENDPOINT",
    "NO_CREDENTIALS",
    "NoStage",
    "StageError",
    "api_at",
    "configured",
    "explained",
    "stack_outputs",
]

ENDPOINT = "AWS_ENDPOINT_URL"
NO_CREDENTIALS = "no AWS credentials are configured: sign in, or set AWS_PROFILE"

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


class StageError(Exception):
    """The stage cannot be reached; the text says what to do."""


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
    try:
        client = boto3.client("cloudformation")
        found: Any = client.describe_stacks(StackName=stack)["Stacks"][0]
    except (BotoCoreError, ClientError) as error:
        if text := explained(error):
            raise StageError(text) from error
        if "does not exist" in str(error):
            raise NoStage(_not_there(stack)) from error
        raise StageError(f"stack {stack}: {error}") from error
    outputs = {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}
    if "ApiUrl" not in outputs:
        raise StageError(
            f"stack {stack} is {found['StackStatus']} and has no output ApiUrl: its deployment "
            "did not end well, or it is another application's stack of that name"
        )
    return outputs


def api_at(endpoint: str, api_url: str) -> str:
    """Return the API's address below an endpoint such as LocalStack's, without host names for DNS.

    https://docs.localstack.cloud/aws/services/apigateway/
    """
    parts = urlsplit(api_url)
    api = str(parts.hostname).partition(".")[0]
    return f"{endpoint.rstrip('/')}/_aws/execute-api/{api}{parts.path}"


def explained(error: BaseException | None) -> str | None:
    """Return what to do about an error of credentials, region or network; None for any other."""
    match error:
        case NoRegionError():
            return "no AWS region is configured: set AWS_REGION, or `region` in the profile"
        case NoCredentialsError():
            return NO_CREDENTIALS
        case ConnectionError() | HTTPClientError():
            return f"{_place()} cannot be reached: {error}"
        case ClientError():
            return _refused(error)
    return None


def _refused(error: ClientError) -> str | None:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _EXPIRED:
        return "the AWS credentials have expired: sign in again (`aws sso login`, or new keys)"
    if code in _UNKNOWN:
        return f"{_place()} does not know the AWS credentials ({code}): they are revoked, or wrong"
    if code in _DENIED:
        return f"the AWS credentials are not allowed to do this: {error}"
    return None


def _not_there(stack: str) -> str:
    stage = stack.removeprefix("quintet-")
    region = boto3.Session().region_name
    text = (
        f"there is no stack {stack} in {region} of {_place()}: `make deploy STAGE={stage}` makes "
        "it; if it was made, it is in another region or account (AWS_REGION, AWS_PROFILE)"
    )
    if ENDPOINT not in os.environ:
        text += f"; LocalStack is asked when {ENDPOINT} names it"
    return text


def _place() -> str:
    return os.environ.get(ENDPOINT, "AWS")
