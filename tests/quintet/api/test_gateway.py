"""API Gateway's events and responses."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.kits.models import event

from quintet.api import gateway
from quintet.errors import BadInput, TooLarge, UnsupportedMedia
from quintet.protocols.http import Request, Response


def test_an_event_is_read_without_its_body_being_decoded() -> None:
    asked = event("POST", "/models/a%20b/versions/3/predict", b"{}", {"X-Request-ID": "r"})
    request = gateway.read(asked)
    assert request == Request(
        method="POST",
        route="/models/{model}/versions/{version}/predict",
        parameters={"model": "a b", "version": "3"},
        headers={"x-request-id": "r"},
        raw="e30=",
        encoded=True,
        id="r",
        base="/test",
    )
    assert request.content(2) == b"{}"


def test_nulls_of_an_event_are_nothing() -> None:
    nulls = dict.fromkeys(("headers", "pathParameters", "requestContext", "body"))
    request = gateway.read({"httpMethod": "GET", "resource": "/v2", **nulls})
    assert request == Request("GET", "/v2", raw="")
    assert request.content(0) == b""


@pytest.mark.parametrize(
    ("context", "caller"),
    [
        ({}, "anonymous"),
        ({"identity": None, "authorizer": None}, "anonymous"),
        ({"identity": {"userArn": None, "accountId": "123"}}, "123"),
        ({"authorizer": {"principalId": "sub|1"}}, "sub|1"),
        ({"identity": {"userArn": "arn:aws:iam::1:user/ann"}}, "arn:aws:iam::1:user/ann"),
        (
            {"identity": {"userArn": "arn:aws:sts::1:assumed-role/shop/session-7"}},
            "arn:aws:sts::1:assumed-role/shop",
        ),
    ],
)
def test_the_caller_is_who_the_api_authenticated(context: dict[str, Any], caller: str) -> None:
    request = gateway.read({"httpMethod": "GET", "resource": "/jobs", "requestContext": context})
    assert request.caller == caller


@pytest.mark.parametrize(
    ("whole", "base"), [("/dev/jobs", "/dev"), ("/jobs", ""), ("/a/b/jobs", "/a/b"), ("/x", "")]
)
def test_the_base_is_what_stands_before_the_path(whole: str, base: str) -> None:
    asked = {"path": "/jobs", "requestContext": {"path": whole}}
    assert gateway.read(asked).base == base


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
    [(b"x", "text/csv", 1), (b'"', "application/json", 2), (b"xxx", "application/x-npy", 4)],
)
def test_an_answer_that_lambda_would_not_carry_is_refused(
    unit: bytes, content_type: str, size: int
) -> None:
    count = gateway.MAX_RESPONSE_BYTES // size
    gateway.render(Response(200, unit * count, content_type))
    with pytest.raises(TooLarge, match="answer: expected at most"):
        gateway.render(Response(200, unit * (count + 1), content_type))
