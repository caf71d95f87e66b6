"""The lean AWS client: its signature is botocore's, its behaviour that of real services."""

from __future__ import annotations

import datetime
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kits.aws import moto_server

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, dynamodb_call
from quintet.aws.signing import AwsRequest, Credentials, sign
from quintet.errors import Transient

ODD_KEYS = [
    "/bucket/plain",
    "/bucket/a b+c~d",
    "/bucket//two//slashes/",
    "/bucket/ünïcødé/日本.csv",
    "/bucket/%41%2F",
    "/bucket/a=b&c?d#e",
    "/bucket/!'()*,;:@$[]",
    "/bucket/./dots/../x",
]
NAME = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def botocore_authorization(service: str, request: AwsRequest, credentials: Credentials) -> str:
    """What botocore signs for the same request at the same time."""
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    auth = kind(botocore.credentials.Credentials(*credentials), service, "eu-west-1")
    theirs = botocore.awsrequest.AWSRequest(
        method=request.method,
        url=f"https://{request.headers['host']}{request.path}?{request.query}",
        headers={name: value for name, value in request.headers.items() if name != "host"},
        data=request.body,
    )
    moment = datetime.datetime(2026, 11, 23, 22, 15, tzinfo=datetime.UTC)
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        auth.add_auth(theirs)
    return str(theirs.headers["Authorization"])


def assert_same_signature(service: str, request: AwsRequest, token: str | None = None) -> None:
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    ours = sign(request, service, "eu-west-1", credentials, "20261123T221500Z")
    assert ours["authorization"] == botocore_authorization(service, request, credentials)


def put(path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> AwsRequest:
    """A PUT with path and query encoded as the client does."""
    pairs = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items())
    return AwsRequest(
        "PUT",
        quote(path, safe="/~"),
        "&".join(f"{k}={v}" for k, v in pairs),
        {**headers, "host": "bucket.example.com:8080"},
        body,
    )


@pytest.mark.parametrize("path", ODD_KEYS)
def test_signs_odd_keys_as_botocore_does(path: str) -> None:
    request = put(path, {"prefix": "a b/+~"}, {"If-None-Match": "*"}, b"x")
    assert_same_signature("s3", request)


@given(
    path=TEXT.map(lambda text: "/bucket/" + text),
    query=st.dictionaries(TEXT, TEXT, max_size=3),
    headers=st.dictionaries(NAME.map(lambda name: "x-amz-meta-" + name.lower()), VALUE, max_size=3),
    body=st.binary(max_size=64),
    token=st.none() | NAME,
)
def test_signs_any_s3_request_as_botocore_does(
    path: str, query: dict[str, str], headers: dict[str, str], body: bytes, token: str | None
) -> None:
    assert_same_signature("s3", put(path, query, headers, body), token)


@given(path=st.lists(NAME | st.just("a b"), max_size=4).map("/".join), body=st.binary(max_size=64))
def test_signs_other_services_as_botocore_does(path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "A.B"}
    assert_same_signature("dynamodb", put("/" + path, {}, headers, body), "token")


# ---- against real HTTP servers ------------------------------------------------------------


def environment(url: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


def test_puts_and_gets_objects_under_odd_keys(moto_url: str) -> None:
    client = AwsClient("s3", environ=environment(moto_url))
    assert client.request("PUT", "/bucket").status == 200
    for path in ODD_KEYS[:-1]:  # moto's web server folds dots in a path
        assert client.request("PUT", path, body=path.encode()).status == 200
        assert client.request("GET", path).body == path.encode()
    assert client.request("GET", "/bucket/absent").status == 404
    listing = client.request("GET", "/bucket", query={"list-type": "2", "prefix": "a b+"})
    assert b"<Key>a b+c~d</Key>" in listing.body


def test_a_conditional_put_of_an_existing_key_is_a_412(moto_url: str) -> None:
    client = AwsClient("s3", environ=environment(moto_url))
    client.request("PUT", "/conditional")
    absent = {"if-none-match": "*"}
    assert client.request("PUT", "/conditional/key", headers=absent, body=b"1").status == 200
    assert client.request("PUT", "/conditional/key", headers=absent, body=b"2").status == 412
    assert client.request("GET", "/conditional/key").body == b"1"


def test_dynamodb_calls_give_items_and_typed_errors(moto_url: str) -> None:
    client = AwsClient("dynamodb", environ=environment(moto_url))
    dynamodb_call(
        client,
        "CreateTable",
        {
            "TableName": "things",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    )
    item = {
        "TableName": "things",
        "Item": {"id": {"S": "é"}, "n": {"N": "1"}},
        "ConditionExpression": "attribute_not_exists(id)",
    }
    assert dynamodb_call(client, "PutItem", item) == {}
    with pytest.raises(ConditionFailed, match="PutItem: the condition does not hold"):
        dynamodb_call(client, "PutItem", item)
    got = dynamodb_call(client, "GetItem", {"TableName": "things", "Key": {"id": {"S": "é"}}})
    assert got == {"Item": {"id": {"S": "é"}, "n": {"N": "1"}}}
    with pytest.raises(Transient, match=r"refused GetItem \(ResourceNotFoundException\)$"):
        dynamodb_call(client, "GetItem", {"TableName": "absent", "Key": {"id": {"S": "é"}}})


class Scripted:
    """A server that answers each request with the next of its scripts, and counts connections.

    A script is the raw answer; empty closes the connection without one.
    """

    def __init__(self, scripts: list[bytes]) -> None:
        self.scripts = scripts
        self.connections = 0
        self.requests: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def _serve(self) -> None:
        while self.scripts:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            with peer:
                self._talk(peer)
            self.closed.set()

    def _talk(self, peer: socket.socket) -> None:
        stream = peer.makefile("rb")
        while self.scripts and (line := stream.readline()):
            self.requests.append(line.split(b" HTTP")[0])
            headers = http.client.parse_headers(stream)
            stream.read(int(headers.get("content-length", 0)))
            if not (script := self.scripts.pop(0)):
                return
            peer.sendall(script)
            if b"x-bye" in script:  # closes although it promised to keep the connection
                return


@contextmanager
def scripted(*scripts: bytes) -> Iterator[Scripted]:
    server = Scripted(list(scripts))
    try:
        yield server
    finally:
        server.socket.close()


def answer(status: int, body: bytes = b"", *extra: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, b"content-length: %d" % len(body), *extra, b"", body]
    return b"\r\n".join(lines)


def client_of(server: Scripted, waits: list[float] | None = None) -> AwsClient:
    sleep = (lambda _: None) if waits is None else waits.append
    return AwsClient("s3", environ=environment(server.url), sleep=sleep, read_seconds=5.0)


def test_keeps_the_connection_alive() -> None:
    with scripted(answer(200, b"a"), answer(200, b"b")) as server:
        client = client_of(server)
        assert [client.request("GET", "/b/k").body for _ in range(2)] == [b"a", b"b"]
        assert server.connections == 1


def test_leaves_a_connection_that_the_server_closed_while_idle() -> None:
    with scripted(answer(200, b"a", b"x-bye: 1"), answer(200, b"b")) as server:
        client = client_of(server)
        assert client.request("PUT", "/b/k").body == b"a"
        server.closed.wait(5)
        # not idempotent, so that only the look before sending can save it
        assert client.request("PUT", "/b/k").body == b"b"
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_breaks_under_a_read_is_replaced() -> None:
    with scripted(answer(200, b"a"), b"", answer(200, b"b")) as server:
        waits: list[float] = []
        client = client_of(server, waits)
        assert [client.request("GET", "/b/k").body for _ in range(2)] == [b"a", b"b"]
        assert (server.connections, waits) == (2, [])


def test_a_write_that_may_have_been_served_is_not_sent_twice() -> None:
    with scripted(answer(200, b"a"), b"", answer(200, b"b")) as server:
        client = client_of(server)
        client.request("PUT", "/b/k")
        with pytest.raises(Transient, match=r"^s3 did not answer \(RemoteDisconnected\)$"):
            client.request("PUT", "/b/k")
        assert len(server.requests) == 2


def test_reads_are_retried_on_5xx_with_jittered_growing_waits() -> None:
    with scripted(answer(500), answer(502), answer(200, b"at last")) as server:
        waits: list[float] = []
        assert client_of(server, waits).request("GET", "/b/k").body == b"at last"
        assert len(waits) == 2
        assert waits[0] <= 0.05
        assert waits[1] <= 0.1


def test_gives_up_after_three_attempts() -> None:
    with scripted(*[answer(503)] * 4) as server:
        with pytest.raises(Transient, match=r"^s3 did not answer \(status 503\)$"):
            client_of(server).request("GET", "/b/k")
        assert len(server.requests) == 3


def test_a_throttled_write_is_sent_again() -> None:
    throttle = b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}'
    with scripted(answer(400, throttle), answer(200, b"{}")) as server:
        client = AwsClient("dynamodb", environ=environment(server.url), sleep=lambda _: None)
        assert dynamodb_call(client, "PutItem", {}) == {}
        assert len(server.requests) == 2


def cancelled(*codes: str) -> bytes:
    """The body of a transaction's refusal."""
    reasons = [{"Code": code} for code in codes]
    return json.dumps(
        {"__type": "x#TransactionCanceledException", "CancellationReasons": reasons}
    ).encode()


def test_transactions_that_met_are_sent_again() -> None:
    met = cancelled("None", "TransactionConflict")
    with scripted(answer(400, met), answer(200, b"{}")) as server:
        client = AwsClient("dynamodb", environ=environment(server.url), sleep=lambda _: None)
        assert dynamodb_call(client, "TransactWriteItems", {}) == {}
        assert len(server.requests) == 2


def test_a_write_that_met_a_transaction_is_sent_again() -> None:
    met = b'{"__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException"}'
    with scripted(answer(400, met), answer(200, b"{}")) as server:
        client = AwsClient("dynamodb", environ=environment(server.url), sleep=lambda _: None)
        assert dynamodb_call(client, "PutItem", {}) == {}
        assert len(server.requests) == 2


def test_a_transaction_whose_condition_does_not_hold_is_not() -> None:
    refused = cancelled("TransactionConflict", "ConditionalCheckFailed")
    with scripted(answer(400, refused)) as server:
        client = AwsClient("dynamodb", environ=environment(server.url), sleep=lambda _: None)
        with pytest.raises(ConditionFailed, match=r"^TransactWriteItems: the condition does not"):
            dynamodb_call(client, "TransactWriteItems", {})
        assert len(server.requests) == 1


def test_a_failed_write_is_not_retried() -> None:
    with scripted(answer(500), answer(200)) as server:
        with pytest.raises(Transient, match="status 500"):
            client_of(server).request("PUT", "/b/k")
        assert len(server.requests) == 1


def test_no_server_is_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    client = AwsClient("s3", environ=environment(url), sleep=lambda _: None)
    with pytest.raises(Transient, match=r"^s3 did not answer \(ConnectionRefusedError\)$"):
        client.request("GET", "/b/k")


def test_credentials_that_are_given_are_asked_for_at_each_request() -> None:
    keys = iter(["first", "second"])
    client = AwsClient("s3", environ={}, credentials=lambda: Credentials(next(keys), "secret"))
    urls = [client.presigned("/b/k", 60) for _ in range(2)]
    assert ["Credential=first%2F" in urls[0], "Credential=second%2F" in urls[1]] == [True, True]


def test_missing_credentials_are_named() -> None:
    with pytest.raises(Transient, match="AWS_ACCESS_KEY_ID is not set"):
        AwsClient("s3", environ={}).request("GET", "/b/k")


def test_many_threads_share_a_client(moto_url: str) -> None:
    client = AwsClient("s3", environ=environment(moto_url))
    client.request("PUT", "/shared")
    for n in range(8):
        client.request("PUT", f"/shared/{n}", body=str(n).encode())
    got: list[bytes] = []

    def read(n: int) -> None:
        got.extend(client.request("GET", f"/shared/{n}").body for _ in range(5))

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(str(n).encode() for n in range(8) for _ in range(5))


def test_the_online_adapters_load_nothing_heavy() -> None:
    program = (
        "import sys, quintet.aws.artifacts, quintet.aws.registry, quintet.serving.model_cache; "
        "print({'boto3', 'botocore', 'onnx', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout.decode().strip() == "set()"
