"""What the authoriser reads of a request, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from quintet.api.authorising import allow, credential, deny
from quintet.callers.caller import Caller, Refused

ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/POST/models/fraud/predict"


def asked(**headers: Any) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"multiValueHeaders": {n: v if isinstance(v, list) else [v] for n, v in named.items()}}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer abc"},
        {"authorization": "bearer   abc "},
        {"X_Api_Key": "abc"},
        {"x_api_key": ["abc", "abc"], "AUTHORIZATION": "BEARER abc"},
    ],
)
def test_a_key_comes_in_either_header(headers: dict[str, Any]) -> None:
    assert credential(asked(**headers), api_key=True) == "abc"


@pytest.mark.parametrize(
    ("headers", "got"),
    [
        ({}, "got none"),
        ({"Authorization": "Basic abc"}, "another scheme"),
        ({"Authorization": "abc"}, "another scheme"),
        ({"Authorization": ""}, "another scheme"),
        ({"Authorization": "Bearer "}, "1 to 8192 characters"),
        ({"Authorization": "Bearer " + "a" * 8_193}, "1 to 8192 characters"),
        ({"Authorization": ["Bearer a", "Bearer b"]}, "got two"),
        ({"Authorization": "Bearer a", "x_api_key": "b"}, "got two"),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, "another scheme"),
    ],
)
def test_anything_else_is_refused(headers: dict[str, Any], got: str) -> None:
    with pytest.raises(Refused, match=got):
        credential(asked(**headers), api_key=True)


def test_a_token_comes_in_authorization_alone() -> None:
    with pytest.raises(Refused, match=r"^expected a credential in Authorization: Bearer, got none"):
        credential(asked(x_api_key="abc"), api_key=False)
    with pytest.raises(Refused, match="got none"):
        credential({"multiValueHeaders": None}, api_key=False)


def test_the_policy_is_for_the_whole_stage_so_that_no_path_is_refused_by_anothers() -> None:
    stage = "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/*"
    allowed = allow(ARN, Caller("shop", ("fraud", "churn")), "shared")
    assert allowed == {
        "principalId": "shop",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": stage}],
        },
        "context": {"models": "fraud,churn"},
        "usageIdentifierKey": "shared",
    }
    assert (
        allow(ARN, Caller("shop", (), "quintet-1"), "shared")["usageIdentifierKey"] == "quintet-1"
    )
    assert allow(ARN, Caller("shop"), "shared")["context"] == {}
    denied = deny(ARN, Refused("the key is not known"))
    assert denied["policyDocument"]["Statement"][0] == {
        "Action": "execute-api:Invoke",
        "Effect": "Deny",
        "Resource": stage,
    }
    assert denied["context"] == {"message": "the key is not known"}
