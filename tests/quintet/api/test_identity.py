"""Who a caller is, and that nobody is refused where somebody is expected."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kits.events import event as sample
from tests.kits.models import event, received

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.protocols import oip, records, sagemaker
from quintet.protocols.http import ANONYMOUS, Request, Response

ANN = "arn:aws:iam::1:user/ann"
POOL = "eu-west-1:0f8c2f0e-5d6b-4d0a-9b1e-3c7a5f4e2d1c"
BACKEND = "arn:aws:sts::123456789012:assumed-role/shop-backend"
ROUTES = gateway.Routes(
    {
        route: (lambda request, context: Response(200, b""), records.failure)
        for route in (("GET", "/jobs"), ("POST", "/models/{model}/predict"))
    }
)
POOLED_ROLE = "arn:aws:sts::1:assumed-role/pool/CognitoIdentityCredentials"


@pytest.mark.parametrize(
    ("context", "caller"),
    [
        ({}, ANONYMOUS),
        ({"identity": None, "authorizer": None}, ANONYMOUS),
        ({"identity": {"userArn": None, "accountId": "123"}}, ANONYMOUS),
        ({"identity": {"userArn": "", "apiKey": "a secret"}}, ANONYMOUS),
        ({"identity": {"apiKey": "a secret", "apiKeyId": "k1"}}, "k1"),
        ({"identity": {"userArn": ANN}}, ANN),
        (
            {"identity": {"userArn": "arn:aws:sts::1:assumed-role/shop/session-7"}},
            "arn:aws:sts::1:assumed-role/shop",
        ),
        ({"identity": {"userArn": POOLED_ROLE, "cognitoIdentityId": POOL}}, POOL),
        ({"authorizer": {"principalId": "sub|1"}, "identity": {"apiKeyId": "k1"}}, "sub|1"),
        ({"authorizer": {"claims": {"sub": "s1", "iss": "https://pool"}}}, "s1"),
        ({"authorizer": {"claims": {"email": "ann@example.com"}}}, ANONYMOUS),
        ({"authorizer": {"claims": "s1"}}, ANONYMOUS),
    ],
)
def test_the_caller_is_who_the_api_authenticated(context: dict[str, Any], caller: str) -> None:
    asked = {"httpMethod": "GET", "resource": "/jobs", "requestContext": context}
    assert received(asked, ROUTES).caller == caller


@pytest.mark.parametrize(
    ("authorizer", "models"),
    [
        (None, ()),
        ({"principalId": "shop"}, ()),
        ({"principalId": "shop", "models": "fraud,churn"}, ("fraud", "churn")),
        ({"principalId": "shop", "models": ""}, ("",)),  # no model has that name
    ],
)
def test_the_models_that_a_caller_may_ask_are_the_authorisers(
    authorizer: dict[str, str] | None, models: tuple[str, ...]
) -> None:
    context = {"authorizer": authorizer}
    request = received(
        {"httpMethod": "GET", "resource": "/jobs", "requestContext": context}, ROUTES
    )
    assert request.models == models
    assert request.may_ask("fraud") == (models in ((), ("fraud", "churn")))


@pytest.mark.parametrize(
    ("name", "caller", "base"),
    [
        ("predict_custom_domain", BACKEND, "/shop/v1"),
        ("submit_list_assumed_role", BACKEND, "/dev"),
        ("submit_list_identity_pool", POOL, "/dev"),
        ("submit_list_user_pool", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "/dev"),
    ],
)
def test_the_callers_and_bases_of_aws_own_events(name: str, caller: str, base: str) -> None:
    request = received(sample(name), ROUTES)
    assert (request.caller, request.base) == (caller, base)


@pytest.mark.parametrize("auth", ["iam", "", "None", "anything else"])
@pytest.mark.parametrize("failure", [records.failure, oip.failure, sagemaker.failure])
def test_nobody_is_refused_unless_the_setting_says_none(
    failure: Any, auth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: Request, context: object) -> Response:
        return Response(200, request.caller.encode())

    telemetry = RequestTelemetry(StdoutTelemetry("dev", {}))
    routes = gateway.Routes({("GET", "/jobs"): (answer, failure)})

    def ask(caller: str | None, auth: str) -> dict[str, Any]:
        asked = event("GET", "/jobs", caller=caller)
        return gateway.respond(asked, routes, lambda: telemetry, lambda: auth)

    refused = ask(None, auth)
    assert refused["statusCode"] == 403
    assert "an identity from the API's authoriser" in refused["body"]
    named = refused["headers"].get("x-amzn-errortype")
    assert named == ("AccessDeniedException" if failure is sagemaker.failure else None)
    assert ask(ANN, auth)["body"] == ANN
    assert ask(None, "none")["body"] == "anonymous"
    assert ask(ANN, "none")["body"] == ANN
    written = capsys.readouterr().out
    assert '"caller":"anonymous"' in written
    assert f'"caller":"{ANN}"' in written


@pytest.mark.parametrize(
    ("given", "owner"),
    [
        (ANN, ANN),
        ("arn:aws:iam::1:role/shop", "arn:aws:sts::1:assumed-role/shop"),
        ("arn:aws-cn:iam::1:role/a/path/shop", "arn:aws-cn:sts::1:assumed-role/shop"),
        ("arn:aws:sts::1:assumed-role/shop", "arn:aws:sts::1:assumed-role/shop"),
        ("arn:aws:sts::1:assumed-role/shop/session-7", "arn:aws:sts::1:assumed-role/shop"),
        (POOL, POOL),
    ],
)
def test_either_arn_of_a_role_is_its_jobs_owner(given: str, owner: str) -> None:
    assert gateway.owner_of(given) == owner
