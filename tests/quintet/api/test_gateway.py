"""API Gateway's events and responses."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

import pytest
from tests.kits.models import event, received

from quintet.api import gateway
from quintet.api.gateway import MIN_COMPRESSED
from quintet.api.telemetry import RequestTelemetry
from quintet.errors import BadInput, TooLarge, UnsupportedMedia, shown
from quintet.protocols import records
from quintet.protocols.http import MAX_RESPONSE_BYTES, Request, Response

ROUTES = gateway.Routes(
    {
        ("GET", route): (lambda request, context: Response(200, b""), records.failure)
        for route in ("/v2", "/v2/{proxy+}", "/jobs", "/jobs/{job}")
    }
    | {
        ("POST", route): (lambda request, context: Response(200, b""), records.failure)
        for route in ("/models/{model}/versions/{version}/predict",)
    }
)


def test_an_event_is_read_without_its_body_being_decoded() -> None:
    asked = event("POST", "/models/a%20b/versions/3/predict", b"{}", {"X-Request-ID": "r"})
    request = received(asked, ROUTES)
    assert request == Request(
        method="POST",
        route="/models/{model}/versions/{version}/predict",
        parameters={"model": "a b", "version": "3"},
        headers={"x-request-id": "r"},
        raw="e30=",
        encoded=True,
        id="r",
    )
    assert request.base == "/test"
    assert request.content(2) == b"{}"


def test_nulls_of_an_event_are_nothing() -> None:
    nulls = dict.fromkeys(("headers", "pathParameters", "requestContext", "body"))
    request = received({"httpMethod": "GET", "resource": "/v2", **nulls}, ROUTES)
    assert request == Request("GET", "/v2", raw="")
    assert request.content(0) == b""


@pytest.mark.parametrize(
    ("route", "path", "parameters", "base"),
    [
        ("/jobs", "/dev/jobs", None, "/dev"),
        ("/jobs", "/jobs", None, ""),
        ("/jobs", "/a/b/jobs/", None, "/a/b"),  # a domain's mapping may have several parts
        ("/jobs/{proxy+}", "/v1/jobs/7", {"proxy": "7"}, "/v1"),
        ("/v2/{proxy+}", "/v1/v2/models/m/infer", {"proxy": "models/m/infer"}, "/v1"),
        ("/jobs", "", None, ""),
    ],
)
def test_the_base_is_what_stands_before_the_route(
    route: str, path: str, parameters: dict[str, str] | None, base: str
) -> None:
    asked = {
        "httpMethod": "GET",
        "resource": route,
        "path": path.removeprefix("/dev"),  # a mapping is in it, a stage is not
        "pathParameters": parameters,
        "requestContext": {"path": path},
    }
    assert received(asked, ROUTES).base == base


def test_the_size_is_looked_at_before_the_body_is_decoded() -> None:
    for size in range(10):
        raw = base64.b64encode(b"x" * size).decode()
        assert Request("POST", "", raw=raw, encoded=True).content(size) == b"x" * size
        with pytest.raises(TooLarge):
            Request("POST", "", raw=raw + "AAAA", encoded=True).content(size)
    with pytest.raises(TooLarge):  # it is no base64 either
        Request("POST", "", raw="*" * 100, encoded=True).content(10)
    with pytest.raises(BadInput):
        Request("POST", "", raw="*" * 100, encoded=True).content(100)


def test_only_known_media_types_are_read() -> None:
    request = Request("POST", "", headers={"content-type": "Text/CSV; charset=utf-8"})
    request.accepts("application/json", "text/csv")
    for unset in ("", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"):
        Request("POST", "", headers={"content-type": unset}).accepts("application/json")
    with pytest.raises(UnsupportedMedia, match="application/json, got 'text/csv'"):
        request.accepts("application/json")


@pytest.mark.parametrize(
    ("response", "rendered"),
    [
        (
            Response(200, "é".encode(), headers={"X-A": "b"}),
            {
                "statusCode": 200,
                "headers": {"Content-Type": "application/json", "X-A": "b"},
                "body": "é",
                "isBase64Encoded": False,
            },
        ),
        (
            Response(200, b"\xff", "application/octet-stream"),
            {
                "statusCode": 200,
                "headers": {"Content-Type": "application/octet-stream"},
                "body": "/w==",
                "isBase64Encoded": True,
            },
        ),
    ],
)
def test_text_goes_out_as_it_is_and_the_rest_in_base64(
    response: Response, rendered: dict[str, object]
) -> None:
    assert gateway.render(response) == rendered


@pytest.mark.parametrize(
    ("unit", "content_type", "size"),
    [
        (b"x", "text/csv", 1),
        (b"\n", "text/csv", 2),
        (b'"', "application/json", 2),
        (b"\x1b", "text/csv", 6),
        ("é".encode(), "text/csv", 2),
        (b"xxx", "application/x-npy", 4),
    ],
)
def test_an_answer_that_lambda_would_not_carry_is_refused(
    unit: bytes, content_type: str, size: int
) -> None:
    count = MAX_RESPONSE_BYTES // size
    gateway.render(Response(200, unit * count, content_type))
    with pytest.raises(TooLarge, match="answer: expected at most"):
        gateway.render(Response(200, unit * (count + 1), content_type))


# ---- compression -------------------------------------------------------------------------------

LONG = b'{"a": "' + b"x" * MIN_COMPRESSED + b'"}'


def packed(response: Response, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
    """The body as it goes out, and the headers."""
    rendered = gateway.render(response, accept_encoding)
    body = rendered["body"].encode()
    if rendered["isBase64Encoded"]:
        body = base64.b64decode(body)
    return body, rendered["headers"]


@pytest.mark.parametrize("asked", ["gzip", "deflate, gzip;q=0.5", "GZIP", "*", "br, *;q=0.1"])
def test_a_long_answer_is_compressed_for_a_client_that_asks(asked: str) -> None:
    body, headers = packed(Response(200, LONG), asked)
    assert gzip.decompress(body) == LONG
    assert len(body) < len(LONG)
    assert headers == {
        "Content-Type": "application/json",
        "Vary": "Accept-Encoding",
        "Content-Encoding": "gzip",
    }


@pytest.mark.parametrize("asked", ["", "identity", "deflate", "gzip;q=0", "*;q=0", "*, gzip;q=0"])
def test_an_answer_is_not_compressed_for_others(asked: str) -> None:
    body, headers = packed(Response(200, LONG), asked)
    assert (body, "Content-Encoding" in headers) == (LONG, False)


@pytest.mark.parametrize(
    "response",
    [
        Response(200, LONG, compress=False),
        Response(200, LONG[: MIN_COMPRESSED - 1]),
        Response(200, random.Random(0).randbytes(MIN_COMPRESSED), "application/x-npy"),
    ],
)
def test_short_and_random_answers_are_not_compressed(response: Response) -> None:
    body, headers = packed(response, "gzip")
    assert (body, "Content-Encoding" in headers) == (response.body, False)


def test_an_answer_over_lambdas_limit_goes_out_if_its_compressed_size_fits() -> None:
    large = Response(200, b"1234567 " * (MAX_RESPONSE_BYTES // 8 + 1), "text/csv; charset=utf-8")
    with pytest.raises(TooLarge, match="ask for less, or accept gzip"):
        gateway.render(large, "identity")
    body, headers = packed(large, "gzip")
    assert gzip.decompress(body) == large.body
    assert headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("asked", [{}, None, [], "x", {"Records": []}, {"httpMethod": "GET"}])
def test_an_event_that_is_no_request_is_answered_with_one_line(asked: Any) -> None:
    answer = gateway.respond(asked, ROUTES, no_telemetry, lambda: "none")
    assert (answer["statusCode"], answer["headers"]) == (
        400,
        {"Content-Type": "application/problem+json"},
    )
    found = json.loads(answer["body"])["detail"]
    assert found == (
        "event: expected an API Gateway request (httpMethod, resource) below /jobs, /models, /v2; "
        f"see events/, got {shown(asked)}"
    )


def no_telemetry() -> RequestTelemetry:
    raise AssertionError("no request, nothing to measure")
