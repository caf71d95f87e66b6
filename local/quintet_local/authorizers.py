"""How the API authenticates a request, pure: signatures of IAM, and Lambda authorisers.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

from quintet_local.http1 import Request
from quintet_local.names import ACCOUNT, arn

__all__ = ["Authorizer", "Identified", "MalformedPolicy", "decided", "question", "signer"]

_CREDENTIAL = re.compile(r"([\w-]+)/\d{8}/[\w-]+/([\w-]+)/aws4_request")
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^, ]+), *SignedHeaders=[^, ]+, *Signature=[0-9a-f]{64}"
)


@dataclass(frozen=True)
class Authorizer:
    """What authenticates callers: a function, or IAM without one.

    `plans` says that a caller must be in a usage plan, whose rate then counts.
    """

    function_arn: str = ""
    plans: bool = False


@dataclass(frozen=True)
class Identified:
    """What an authoriser said of a request: its `authorizer` and `identity` for the function."""

    allowed: bool
    context: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    plan_key: str = ""


class MalformedPolicy(Exception):
    """The function's answer is not that of an authoriser."""


def signer(request: Request, query: str) -> tuple[Identified | None, str]:
    """Return who signed a request, or None and API Gateway's message.

    A signature's form and service are checked, and not whether it fits: any credentials work here.
    """
    signed = _SIGNED.fullmatch(request.header("authorization") or "")
    credential = signed[1] if signed else parse_qs(query).get("X-Amz-Credential", [""])[0]
    match = _CREDENTIAL.fullmatch(credential)
    if match is None:
        return None, "Missing Authentication Token"
    access_key, service = match.groups()
    if service != "execute-api":
        return None, "Credential should be scoped to correct service: 'execute-api'. "
    user = f"arn:aws:iam::{ACCOUNT}:user/{access_key}"
    identity = {"accessKey": access_key, "accountId": ACCOUNT, "caller": access_key}
    return Identified(True, identity={**identity, "user": access_key, "userArn": user}), ""


def question(event: Mapping[str, Any], stage: str, api_id: str) -> dict[str, Any]:
    """The event of an authoriser of type REQUEST, from that of the function behind it."""
    method_arn = _method_arn(event, stage, api_id)
    left_out = ("body", "isBase64Encoded")
    asked = {name: value for name, value in event.items() if name not in left_out}
    return {"type": "REQUEST", "methodArn": method_arn, **asked}


def decided(payload: bytes, event: Mapping[str, Any], stage: str, api_id: str) -> Identified:
    """What an authoriser's answer says of a request.

    Raises:
        MalformedPolicy: API Gateway would answer with a 500.
    """
    try:
        answer = json.loads(payload)
        statements = answer["policyDocument"]["Statement"]
        context = {str(name): _text(value) for name, value in (answer.get("context") or {}).items()}
        allowed = _allows(statements, _method_arn(event, stage, api_id))
        principal = answer["principalId"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedPolicy(str(error)) from error
    plan_key = answer.get("usageIdentifierKey") or ""
    identity = {"apiKey": plan_key} if plan_key else {}
    return Identified(allowed, {**context, "principalId": principal}, identity, plan_key)


def _method_arn(event: Mapping[str, Any], stage: str, api_id: str) -> str:
    path = event["path"].lstrip("/")
    return arn("execute-api", f"{api_id}/{stage}/{event['httpMethod']}/{path}")


def _allows(statements: list[dict[str, Any]], method_arn: str) -> bool:
    effects = {
        statement["Effect"]
        for statement in statements
        for resource in _listed(statement["Resource"])
        if fnmatchcase(method_arn, resource)
    }
    return effects == {"Allow"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """A value of a context, of which API Gateway takes texts, numbers and truth values alone."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError("the context has an object or an array")
