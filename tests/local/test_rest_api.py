"""The REST API: which route a path takes, what the function gets, what comes back."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.kits.local_aws import LocalAws

from quintet_local.http1 import Request
from quintet_local.rest_api import (
    MalformedAnswer,
    Match,
    Route,
    Router,
    is_binary,
    proxy_event,
    proxy_response,
)

ROUTES = [
    Route("GET", "/v2", "server"),
    Route("GET", "/v2/{proxy+}", "rest"),
    Route("POST", "/models/{model}/predict", "predict"),
    Route("POST", "/models/{model}/versions/{version}/predict", "version"),
    Route("POST", "/models/own/predict", "own"),
    Route("ANY", "/any", "any"),
]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v2", ("server", {})),
        ("GET", "/v2/", ("server", {})),
        ("GET", "/v2/models/a/ready", ("rest", {"proxy": "models/a/ready"})),
        ("POST", "/models/fraud/predict", ("predict", {"model": "fraud"})),
        ("POST", "/models/a%20b/predict", ("predict", {"model": "a%20b"})),
        ("POST", "/models/own/predict", ("own", {})),
        ("POST", "/models/own/versions/3/predict", ("version", {"model": "own", "version": "3"})),
        ("DELETE", "/any", ("any", {})),
        ("GET", "/models/fraud/predict", None),
        ("POST", "/models//predict", None),
        ("GET", "/nothing", None),
        ("GET", "/", None),
    ],
)
def test_a_path_takes_the_most_specific_route(
    method: str, path: str, expected: tuple[str, dict[str, str]] | None
) -> None:
    match = Router(ROUTES).match(method, path)
    assert (match and (match.route.function_arn, match.parameters)) == expected


def event_of(request: Request, query: str = "", *, binary: bool = True) -> dict[str, Any]:
    return proxy_event(
        request,
        Match(ROUTES[2], {"model": "a"}),
        path="/models/a/predict",
        query=query,
        stage="local",
        api_id="api",
        request_id="id",
        binary=binary,
    )


def test_the_event_has_the_last_value_and_every_value() -> None:
    headers = [("Accept", "a"), ("X-Two", "1"), ("X-Two", "2")]
    event = event_of(Request("POST", "", headers, "127.0.0.1"), "a=1&a=2&b=&c=%20x")
    assert event["headers"] == {"Accept": "a", "X-Two": "2"}
    assert event["multiValueHeaders"] == {"Accept": ["a"], "X-Two": ["1", "2"]}
    assert event["queryStringParameters"] == {"a": "2", "b": "", "c": " x"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""], "c": [" x"]}
    assert (event["body"], event["isBase64Encoded"]) == (None, False)
    assert event["requestContext"]["path"] == "/local/models/a/predict"


def test_a_binary_body_is_base64_and_another_is_text() -> None:
    request = Request("POST", "", [], "127.0.0.1", "é".encode())
    assert (event_of(request)["body"], event_of(request)["isBase64Encoded"]) == ("w6k=", True)
    text = event_of(request, binary=False)
    assert (text["body"], text["isBase64Encoded"]) == ("é", False)


@pytest.mark.parametrize(
    ("content_type", "types", "expected"),
    [
        (None, ("*/*",), True),
        ("application/json; charset=utf-8", ("*/*",), True),
        ("image/png", ("image/*",), True),
        ("application/json", ("image/*",), False),
        ("application/json", (), False),
    ],
)
def test_binary_media_types(
    content_type: str | None, types: tuple[str, ...], expected: bool
) -> None:
    assert is_binary(content_type, types) is expected


def test_an_answer_becomes_a_response() -> None:
    answer = {
        "statusCode": "201",
        "isBase64Encoded": True,
        "body": base64.b64encode(b"\x00\xff").decode(),
        "headers": {"X-One": 1, "Content-Length": "9", "X-Break": "a\r\nb"},
        "multiValueHeaders": {"X-Two": ["a", "b"]},
    }
    response = proxy_response(json.dumps(answer).encode())
    assert (response.status, response.body) == (201, b"\x00\xff")
    assert response.headers == [
        ("X-One", "1"),
        ("X-Break", "ab"),
        ("X-Two", "a"),
        ("X-Two", "b"),
        ("Content-Type", "application/json"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b"null",
        b'"text"',
        b'{"statusCode": "what"}',
        b'{"statusCode": true}',
        b'{"statusCode": 99}',
        b'{"body": {"a": 1}}',
        b'{"isBase64Encoded": true, "body": "!"}',
        b'{"headers": []}',
        b'{"multiValueHeaders": {"a": "b"}}',
    ],
)
def test_a_malformed_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        proxy_response(answer)


def send(
    stack: LocalAws, method: str, path: str, body: bytes = b"", header: tuple[str, str] = ("A", "b")
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(stack.api_url).netloc, timeout=30)
    try:
        connection.request(method, path, body, dict([header]))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_a_request_reaches_its_function(stack: LocalAws) -> None:
    status, headers, body = send(stack, "POST", "/things/a%2Fb?x=1", b"hello", ("X-Own-Case", "Y"))
    event = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert headers["x-amzn-RequestId"] == event["requestContext"]["requestId"]
    assert (event["resource"], event["path"]) == ("/things/{name}", "/things/a%2Fb")
    assert event["pathParameters"] == {"name": "a%2Fb"}
    assert event["headers"]["X-Own-Case"] == "Y"
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert base64.b64decode(event["body"]) == b"hello"


@pytest.mark.parametrize(
    ("path", "resource", "seen"),
    [
        ("/things/fixed", "/things/fixed", "/things/fixed"),
        ("/local/things/fixed", "/things/fixed", "/things/fixed"),
        ("/things/other", "/things/{name}", "/things/other"),
    ],
)
def test_routes_stand_at_the_root_and_under_the_stage(
    stack: LocalAws, path: str, resource: str, seen: str
) -> None:
    event = json.loads(send(stack, "POST", path)[2])
    assert (event["resource"], event["path"]) == (resource, seen)


def test_a_page_that_the_stage_names_is_answered_and_others_are_refused(stack: LocalAws) -> None:
    for method, path in (("OPTIONS", "/things/a"), ("GET", "/any"), ("OPTIONS", "/any")):
        page = send(stack, method, path, header=("Origin", "https://page.example"))
        event = json.loads(page[2])
        assert (page[0], event["httpMethod"]) == (200, method)
        assert event["stageVariables"] == {"CorsOrigins": "https://page.example"}
        assert "Access-Control-Allow-Origin" not in page[1]  # which is the function's to say
    assert send(stack, "GET", "/any", header=("Origin", "https://other.example"))[0] == 403


@pytest.mark.parametrize(
    ("body", "status", "allowed"), [(b"x" * (6 * 1024 * 1024), 413, "*"), (b"raise", 502, None)]
)
def test_the_apis_own_errors_have_the_headers_of_their_gateway_response(
    stack: LocalAws, body: bytes, status: int, allowed: str | None
) -> None:
    answer = send(stack, "POST", "/things/a", body)
    assert (answer[0], answer[1]["Access-Control-Allow-Origin"]) == (status, allowed)


def test_a_binary_answer_comes_as_it_is(stack: LocalAws) -> None:
    status, headers, body = send(stack, "POST", "/things/a", b"binary")
    assert (status, body) == (201, bytes(range(256)))
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers.get_all("X-Many") == ["a", "b"]


@pytest.mark.parametrize(
    ("request_line", "sent", "status", "message"),
    [
        ("POST /nothing", b"", 403, "Missing Authentication Token"),
        ("PUT /things/a", b"", 403, "Missing Authentication Token"),
        ("POST /things/a", b"malformed", 502, "Internal server error"),
        ("POST /things/a", b"raise", 502, "Internal server error"),
        ("POST /things/a", b"huge", 502, "Internal server error"),
        ("POST /things/a", b"x" * (10 * 1024 * 1024 + 1), 413, "Request Too Long"),
        # within the API's limit, over Lambda's
        ("POST /things/a", b"x" * (6 * 1024 * 1024), 413, "Request Too Long"),
    ],
)
def test_failures_look_as_api_gateways(
    stack: LocalAws, request_line: str, sent: bytes, status: int, message: str
) -> None:
    method, path = request_line.split()
    answer = send(stack, method, path, sent)
    assert (answer[0], json.loads(answer[2])) == (status, {"message": message})


def test_a_connection_is_kept_and_takes_chunks_and_old_clients(stack: LocalAws) -> None:
    connection = http.client.HTTPConnection(urlsplit(stack.api_url).netloc, timeout=30)
    connection.request("POST", "/things/a", iter([b"in ", b"chunks"]), encode_chunked=True)
    chunked = json.loads(connection.getresponse().read())
    assert base64.b64decode(chunked["body"]) == b"in chunks"
    socket = connection.sock
    connection.request("HEAD", "/nothing")
    head = connection.getresponse()
    assert (head.status, head.read(), connection.sock) == (403, b"", socket)
    connection.close()


def test_what_is_not_http_is_refused(stack: LocalAws) -> None:
    connection = http.client.HTTPConnection(urlsplit(stack.api_url).netloc, timeout=30)
    connection.connect()
    connection.sock.sendall(b"\x16\x03\x01 no http at all\r\n\r\n")
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 400 Bad Request")
    connection.close()
