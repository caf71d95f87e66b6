"""Answers API Gateway's question whether a request may pass (a REQUEST authoriser).

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quintet.callers.caller import Caller, Refused

__all__ = ["allow", "credential", "deny"]

#: what API Gateway sends as an authoriser's headers is bounded, and so is a credential
MAX_CREDENTIAL = 8_192


def credential(event: Mapping[str, Any], *, api_key: bool) -> str:
    """Return the key or token that a request sends.

    It is in `Authorization: Bearer`, or with `api_key` in `x-api-key`.

    Raises:
        Refused: it sends none, two, or one in another form.
    """
    where = "Authorization: Bearer" + (" or x-api-key" if api_key else "")
    sent: set[str] = set()
    for name, values in (event.get("multiValueHeaders") or {}).items():
        if name.lower() == "authorization":
            for value in values:
                scheme, _, text = value.strip().partition(" ")
                if scheme.lower() != "bearer":
                    raise Refused(f"expected a credential in {where}, got another scheme")
                sent.add(text.strip())
        elif name.lower() == "x-api-key" and api_key:
            sent |= {value.strip() for value in values}
    if len(sent) != 1:
        raise Refused(f"expected a credential in {where}, got {'none' if not sent else 'two'}")
    (text,) = sent
    if not text or len(text) > MAX_CREDENTIAL:
        raise Refused(f"expected a credential of 1 to {MAX_CREDENTIAL} characters in {where}")
    return text


def allow(method_arn: str, caller: Caller, shared_plan_key: str) -> dict[str, Any]:
    """Let a caller pass, to every path: which models it may ask is for the functions to check."""
    context = {"models": ",".join(caller.models)} if caller.models else {}
    return {
        "principalId": caller.name,
        "policyDocument": _policy(method_arn, "Allow"),
        "context": context,
        "usageIdentifierKey": caller.plan_key or shared_plan_key,
    }


def deny(method_arn: str, refused: Refused) -> dict[str, Any]:
    """Refuse a request; the template puts `message` into API Gateway's answer."""
    return {
        "principalId": "refused",
        "policyDocument": _policy(method_arn, "Deny"),
        "context": {"message": str(refused)},
    }


def _policy(method_arn: str, effect: str) -> dict[str, Any]:
    """A policy for the whole stage of arn:aws:execute-api:region:account:api/stage/GET/path."""
    api, stage = method_arn.split("/")[:2]
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{api}/{stage}/*"}
    return {"Version": "2012-10-17", "Statement": [statement]}
