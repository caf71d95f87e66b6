"""How the API here authenticates: signatures, a function's policy, usage plans, its own answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.aws import client, moto_server

from quintet_local import api_errors, usage_plans
from quintet_local.api_errors import ErrorResponse
from quintet_local.authorizers import MalformedPolicy, decided, question, signer
from quintet_local.http1 import Request
from quintet_local.usage_plans import Bucket, Throttle, UsagePlans

API, STAGE = "api", "local"
EVENT = {
    "path": "/models/a/predict",
    "httpMethod": "POST",
    "multiValueHeaders": {"x-api-key": ["k"]},
    "body": "secret",
    "isBase64Encoded": False,
    "requestContext": {"requestId": "r"},
}
ARN = "arn:aws:execute-api:us-east-1:123456789012:api/local/POST/models/a/predict"
SIGNATURE = "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64


def request(authorization: str = "") -> Request:
    headers = [("Authorization", authorization)] if authorization else []
    return Request("POST", "/models/a/predict", headers, "127.0.0.1")


def test_a_signed_request_has_its_credentials_user() -> None:
    scope = "20260101/eu-west-1/execute-api/aws4_request"
    signed = request(f"AWS4-HMAC-SHA256 Credential=ANN/{scope}, {SIGNATURE}")
    caller, _ = signer(signed, "")
    assert caller is not None
    assert caller.identity["userArn"] == "arn:aws:iam::123456789012:user/ANN"
    assert caller.identity["accessKey"] == "ANN"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BOB%2F{scope.replace('/', '%2F')}"
    caller, _ = signer(request(), query)
    assert caller is not None
    assert caller.identity["accessKey"] == "BOB"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("", "Missing Authentication Token"),
        ("Bearer qk_x", "Missing Authentication Token"),
        ("AWS4-HMAC-SHA256 Credential=x", "Missing Authentication Token"),
        (
            f"AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/sagemaker/aws4_request, {SIGNATURE}",
            "Credential should be scoped to correct service: 'execute-api'. ",
        ),
    ],
)
def test_a_request_that_is_not_signed_for_the_api_is_refused(
    authorization: str, message: str
) -> None:
    assert signer(request(authorization), "") == (None, message)
    assert api_errors.bad_signature(message).response().status == 403


def answer(effect: str, resource: Any, **more: Any) -> bytes:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return json.dumps({"principalId": "shop", "policyDocument": policy, **more}).encode()


def test_an_authoriser_is_asked_without_the_body() -> None:
    asked = question(EVENT, STAGE, API)
    assert (asked["type"], asked["methodArn"]) == ("REQUEST", ARN)
    assert asked["multiValueHeaders"] == {"x-api-key": ["k"]}
    assert "body" not in asked


@pytest.mark.parametrize(
    ("effect", "resource", "allowed"),
    [
        ("Allow", ARN, True),
        ("Allow", ARN.replace("POST/models/a/predict", "*"), True),
        ("Allow", [ARN.replace("/local/", "/prod/"), ARN], True),
        ("Allow", ARN.replace("/models/a", "/models/b"), False),
        ("Deny", ARN, False),
    ],
)
def test_a_policy_decides_for_its_resources(effect: str, resource: Any, allowed: bool) -> None:
    said = decided(answer(effect, resource), EVENT, STAGE, API)
    assert (said.allowed, said.context) == (allowed, {"principalId": "shop"})


def test_a_context_becomes_text_and_a_plan_key_is_named() -> None:
    more = {"context": {"models": "a", "n": 1, "yes": True}, "usageIdentifierKey": "k"}
    said = decided(answer("Allow", ARN, **more), EVENT, STAGE, API)
    assert said.context == {"models": "a", "n": "1", "yes": "true", "principalId": "shop"}
    assert (said.plan_key, said.identity) == ("k", {"apiKey": "k"})


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b"no",
        b"{}",
        b'{"principalId": "a", "policyDocument": {}}',
        answer("Allow", ARN, context={"list": []}),
    ],
)
def test_an_answer_in_another_form_is_an_error_of_the_api(payload: bytes) -> None:
    with pytest.raises(MalformedPolicy):
        decided(payload, EVENT, STAGE, API)


def test_an_answer_of_the_api_is_the_templates() -> None:
    responses = {
        "ACCESS_DENIED": ErrorResponse(
            401, {"WWW-Authenticate": "Bearer"}, '{"message":"$context.authorizer.message"}'
        ),
        "DEFAULT_4XX": ErrorResponse(headers={"X-Any": "1"}),
    }
    denied = api_errors.ACCESS_DENIED.response(responses, {"message": "the key is not known"})
    assert (denied.status, denied.body) == (401, b'{"message":"the key is not known"}')
    assert ("WWW-Authenticate", "Bearer") in denied.headers
    assert ("X-Any", "1") not in denied.headers  # a type of its own replaces the default
    missing = api_errors.MISSING_TOKEN.response(responses)
    assert (missing.status, json.loads(missing.body)) == (
        403,
        {"message": "Missing Authentication Token"},
    )
    assert ("X-Any", "1") in missing.headers
    plain = ErrorResponse(template='{"message":$context.error.messageString}')
    assert json.loads(api_errors.THROTTLED.response({"THROTTLED": plain}).body) == {
        "message": "Too Many Requests"
    }


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = Bucket(Throttle(2, 3), 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(60.0) for _ in range(4)] == [True, True, True, False]


def make_plan(url: str, value: str, rate: float, api: str = API) -> None:
    apigateway = client("apigateway", url)
    key = apigateway.create_api_key(name=value, value=value, enabled=True)["id"]
    plan = apigateway.create_usage_plan(
        name=f"rate-{rate}",
        apiStages=[{"apiId": api, "stage": STAGE}],
        throttle={"rateLimit": rate, "burstLimit": 1},
    )["id"]
    apigateway.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")


def test_plans_are_the_templates_and_those_that_were_made_and_outlive_a_restart() -> None:
    now = [0.0]
    with moto_server() as url:
        make_plan(url, "quintet-limited-of-this", 1)
        make_plan(url, "quintet-of-another-api", 1, api="another")
        plans = UsagePlans(API, {"shared": None}, lambda: now[0])
        assert [plans.admits("shared") for _ in range(3)] == [True] * 3
        limited = "quintet-limited-of-this"
        assert [plans.admits(limited), plans.admits(limited)] == [True, False]
        now[0] = 1.0
        assert plans.admits(limited) is True
        assert plans.admits("quintet-of-another-api") is None
        assert plans.admits("unknown") is None
        kept = json.loads(json.dumps(usage_plans.snapshot()))
        backend = usage_plans._backend()
        for made in (backend.usage_plans, backend.usage_plan_keys, backend.keys):
            made.clear()
        assert plans.admits(limited) is None
        usage_plans.put_back(kept)
        now[0] = 2.0
        assert [plans.admits(limited), plans.admits(limited)] == [True, False]
        assert usage_plans.snapshot() == kept
        for made in (backend.usage_plans, backend.usage_plan_keys, backend.keys):
            made.clear()
