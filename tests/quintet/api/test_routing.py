"""Which route answers a request, in what form unknown ones are refused, and which pages may ask."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.models import event, received

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.errors import BadInput
from quintet.protocols import oip, records, sagemaker
from quintet.protocols.http import Request, Response

PAGE = "https://shop.example"
ORIGINS = f"http://localhost:3000,{PAGE}"
TELEMETRY = RequestTelemetry(StdoutTelemetry("dev", {"POWERTOOLS_LOG_LEVEL": "ERROR"}))


def answer(request: Request, context: object) -> Response:
    """What was asked."""
    if "refuse" in request.query:
        raise BadInput.of("x", "a", "b")
    found = {"method": request.method, "route": request.route, **request.parameters}
    return Response(200, json.dumps(found).encode())


ROUTES = gateway.Routes(
    {
        ("POST", "/models/{model}/predict"): (answer, records.failure),
        ("POST", "/models/{model}/versions/{version}/predict"): (answer, records.failure),
        ("GET", "/jobs/{job}"): (answer, records.failure),
        ("DELETE", "/jobs/{job}"): (answer, records.failure),
        ("GET", "/v2/{proxy+}"): (answer, oip.failure),
        ("POST", "/v1/models/{model}:predict"): (answer, oip.failure),
        ("GET", "/v1/models/{model}"): (answer, oip.failure),
        ("POST", "/endpoints/{endpoint}/invocations"): (answer, sagemaker.failure),
    }
)


def ask(method: str, path: str, **given: Any) -> dict[str, Any]:
    auth = given.pop("auth", "none")
    asked = event(method, path, **given)
    return gateway.respond(asked, ROUTES, lambda: TELEMETRY, lambda: auth)


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("POST", "/models/m/predict", {"route": "/models/{model}/predict", "model": "m"}),
        (
            "POST",
            "/models/a%2Fb%20c/predict",
            {"route": "/models/{model}/predict", "model": "a/b c"},
        ),
        (
            "POST",
            "/models/m/versions/3/predict",
            {"route": "/models/{model}/versions/{version}/predict", "model": "m", "version": "3"},
        ),
        ("GET", "/jobs/7", {"route": "/jobs/{job}", "job": "7"}),
        ("DELETE", "/jobs/7", {"route": "/jobs/{job}", "job": "7"}),
        ("GET", "/v2/models/m%20n/ready", {"route": "/v2/{proxy+}", "proxy": "models/m n/ready"}),
        ("POST", "/v1/models/m:predict", {"route": "/v1/models/{model}:predict", "model": "m"}),
        ("POST", "/v1/models/m%3Apredict", {"route": "/v1/models/{model}:predict", "model": "m"}),
        ("GET", "/v1/models/m", {"route": "/v1/models/{model}", "model": "m"}),
        (
            "POST",
            "/endpoints/e/invocations",
            {"route": "/endpoints/{endpoint}/invocations", "endpoint": "e"},
        ),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, found: dict[str, str]) -> None:
    response = ask(method, path)
    assert response["statusCode"] == 200
    assert json.loads(response["body"]) == {"method": method, **found}


def test_head_is_answered_as_get() -> None:
    asked, answered = ask("HEAD", "/jobs/7"), ask("GET", "/jobs/7")
    assert asked == answered  # the body is left out, and its length stated, by API Gateway


def records_error(response: dict[str, Any]) -> str:
    problem = json.loads(response["body"])
    assert response["headers"]["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["request_id"]) == (response["statusCode"], "gateway-id")
    return str(problem["detail"])


def oip_error(response: dict[str, Any]) -> str:
    ((name, text),) = json.loads(response["body"]).items()
    assert name == "error"
    return str(text)


def sagemaker_error(response: dict[str, Any]) -> str:
    assert response["headers"]["x-amzn-errortype"] == "UnknownOperationException"
    ((name, text),) = json.loads(response["body"]).items()
    assert name == "Message"
    return str(text)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/models", records_error),
        ("/models/m", records_error),
        ("/models//predict", records_error),
        ("/models/m//predict", records_error),
        ("/models/m/predict/more", records_error),
        ("/models/%zz%ff%", records_error),
        ("/jobs", records_error),
        ("/jobs/a/b", records_error),
        ("/v2/models//ready", oip_error),
        ("/v1", oip_error),
        ("/v1/models/m:predict/x", oip_error),
        ("/v1/models/m:explain", oip_error),
        ("/v1/models/m%3Aexplain", oip_error),
        ("/endpoints", sagemaker_error),
        ("/endpoints/e", sagemaker_error),
        ("/endpoints/e/other", sagemaker_error),
        ("/endpoints/e//invocations", sagemaker_error),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_an_unknown_path_is_refused_in_the_form_of_its_prefix(
    method: str, path: str, error: Any
) -> None:
    response = ask(method, path)
    assert response["statusCode"] == 404
    got = error(response).partition("; do you mean ")[0]
    assert got == f"path: expected a path of the API, got {path.replace('%3A', ':')}"
    assert "Allow" not in response["headers"]


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/models/fraud/predictions", "/models/{model}/predict"),
        ("/models/fraud", "/models/{model}/predict"),
        ("/models/fraud/version/3/predict", "/models/{model}/versions/{version}/predict"),
        ("/models/fraud//predict", "/models/{model}/predict"),
        ("/v1/models/fraud:predictions", "/v1/models/{model}:predict"),
        ("/v1/model/fraud", "/v1/models/{model}"),
        ("/endpoints/fraud/invocation", "/endpoints/{endpoint}/invocations"),
        ("/jobs/a/b", "/jobs/{job}"),
        ("/models/x/y/z/" + "long/" * 200, None),
        ("/endpoints", None),
    ],
)
def test_an_unknown_path_names_the_nearest_one(path: str, near: str | None) -> None:
    body = json.loads(ask("POST", path)["body"])
    text = body.get("detail") or body.get("error") or body.get("Message")
    assert text.partition("; do you mean ")[2] == (f"{near}?" if near else "")


@pytest.mark.parametrize(
    ("method", "path", "error", "allowed"),
    [
        ("GET", "/models/m/predict", records_error, "OPTIONS, POST"),
        ("PUT", "/jobs/7", records_error, "DELETE, GET, HEAD, OPTIONS"),
        ("PATCH", "/v2/x", oip_error, "GET, HEAD, OPTIONS"),
        ("GET", "/v1/models/m:predict", oip_error, "OPTIONS, POST"),
        ("HEAD", "/endpoints/e/invocations", sagemaker_error, "OPTIONS, POST"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(
    method: str, path: str, error: Any, allowed: str
) -> None:
    response = ask(method, path)
    assert (response["statusCode"], response["headers"]["Allow"]) == (405, allowed)
    expected = f"{allowed.replace(', ', ' or ')} for {path}"
    assert error(response) == f"method: expected {expected}, got {method}"


# ---- OPTIONS, and pages of other origins ---------------------------------------------------------


@pytest.mark.parametrize("auth", ["none", "iam"])
def test_options_need_no_identity(auth: str) -> None:
    response = ask("OPTIONS", "/jobs/7", auth=auth, headers={"Origin": PAGE})
    assert (response["statusCode"], response["body"]) == (204, "")
    assert response["headers"] == {
        "Content-Type": "application/json",
        "X-Request-Id": "gateway-id",
        "Allow": "DELETE, GET, HEAD, OPTIONS",
    }
    assert ask("GET", "/jobs/7", auth="iam")["statusCode"] == 403
    assert ask("OPTIONS", "/jobs", auth="iam")["statusCode"] == 404


def test_a_log_line_says_that_options_were_answered_and_nothing_predicted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry = RequestTelemetry(StdoutTelemetry("dev", {}))
    gateway.respond(event("OPTIONS", "/v2/x"), ROUTES, lambda: telemetry, lambda: "iam")
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["message"], line["route"]) == ("answered", "OPTIONS /v2/{proxy+}")


def shared(method: str, path: str, origin: str | None, **given: Any) -> dict[str, str]:
    """The headers for a page of that origin, if the stage names `ORIGINS`."""
    headers = {} if origin is None else {"Origin": origin}
    response = ask(method, path, headers=headers | given.pop("more", {}), origins=ORIGINS, **given)
    names = ("Vary", "Access-Control-")
    return {n: v for n, v in response["headers"].items() if n.startswith(names)}


def test_a_page_of_a_named_origin_learns_what_it_may_send() -> None:
    more = {
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization, x-amz-date",
    }
    assert shared("OPTIONS", "/jobs/7", PAGE, more=more) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Methods": "DELETE, GET, HEAD, OPTIONS",
        "Access-Control-Allow-Headers": "authorization, x-amz-date",
        "Access-Control-Max-Age": "7200",
    }


@pytest.mark.parametrize(
    ("path", "query", "auth"),
    [
        ("/jobs/7", {}, "none"),
        ("/jobs/7", {"refuse": ""}, "none"),
        ("/jobs/7", {}, "iam"),
        ("/jobs/7/8", {}, "none"),
    ],
)
def test_a_page_of_a_named_origin_may_read_answers_and_errors(
    path: str, query: dict[str, str], auth: str
) -> None:
    assert shared("GET", path, PAGE, query=query, auth=auth) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Expose-Headers": "*",
    }


@pytest.mark.parametrize("origin", [None, "https://other.example", "null", "", f"{PAGE}:444"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_other_pages_may_read_nothing(method: str, origin: str | None) -> None:
    assert shared(method, "/jobs/7", origin) == {"Vary": "Origin"}


def test_what_varies_is_named_together() -> None:
    long = ROUTES.table["GET", "/jobs/{job}"][1], Response(200, b"x" * 2000)
    routes = gateway.Routes({("GET", "/jobs"): (lambda request, context: long[1], long[0])})
    asked = event("GET", "/jobs", headers={"Origin": PAGE, "Accept-Encoding": "gzip"}, origins=PAGE)
    response = gateway.respond(asked, routes, lambda: TELEMETRY, lambda: "none")
    assert response["headers"]["Vary"] == "Origin, Accept-Encoding"


# ---- headers of several lines -------------------------------------------------------------------


def test_a_list_of_several_lines_is_one_and_other_headers_have_their_last_value() -> None:
    asked = event("GET", "/jobs/7", headers={"Prefer": "wait=5", "X-Request-Id": "b"})
    asked["multiValueHeaders"] = {
        "Prefer": ["respond-async", "wait=5"],
        "Accept-Encoding": ["gzip"],
        "X-Request-Id": ["a", "b"],
    }
    request = received(asked, ROUTES)
    assert request.headers == {"prefer": "respond-async, wait=5", "x-request-id": "b"}
    assert (request.wants_job, request.id) == (True, "b")
