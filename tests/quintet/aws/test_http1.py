"""Responses are read as http.client reads them, and what is not whole is refused."""

from __future__ import annotations

import contextlib
import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.aws.http1 import MalformedResponse, RemoteDisconnected, head, read_response
from quintet.aws.responses import AwsResponse


class Wire:
    """What http.client takes for a socket."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def makefile(self, mode: str) -> Any:
        return io.BytesIO(self.content)


def theirs(content: bytes, method: str) -> tuple[AwsResponse, bool]:
    """The response as http.client reads it."""
    found = http.client.HTTPResponse(Wire(content), method=method)  # type: ignore[arg-type]
    found.begin()
    body = found.read()
    fields = {name.lower(): value for name, value in found.getheaders()}
    return AwsResponse(found.status, fields, body), not found.will_close


WHOLE = {
    "a body of a length": b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "a"\r\n\r\nhello',
    "no body": b"HTTP/1.1 204 No Content\r\nx-amz-id-2: a\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "spaces around values": b"HTTP/1.1 200 OK\r\ncontent-length:  2\r\nx-a:\tb\r\n\r\nok",
    "lines without carriage returns": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "a header that comes twice": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nA: 1\r\na: 2\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\nx-a: \xe9\r\n\r\nall of it",
    "closed after it": b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.0, kept": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    "after an interim one": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nx-amz-checksum: a\r\n\r\n",
    "chunks win over a length": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n"
    b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", WHOLE)
def test_reads_a_response_as_http_client_does(name: str, method: str) -> None:
    content = WHOLE[name]
    assert read_response(io.BytesIO(content), method) == theirs(content, method)


@given(
    status=st.integers(200, 599),
    fields=st.dictionaries(
        st.from_regex(r"x-[a-z0-9-]{1,9}", fullmatch=True),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
        max_size=5,
    ),
    parts=st.lists(st.binary(min_size=1, max_size=50), max_size=4),
    in_chunks=st.booleans(),
)
def test_reads_any_response_as_http_client_does(
    status: int, fields: dict[str, str], parts: list[bytes], in_chunks: bool
) -> None:
    body = b"".join(parts)
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items())]
    if in_chunks:
        lines.append("transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        lines.append(f"content-length: {len(body)}")
    content = "\r\n".join([*lines, "", ""]).encode() + body
    assert read_response(io.BytesIO(content), "GET") == theirs(content, "GET")


@pytest.mark.parametrize("name", ["a body of a length", "no body", "in chunks"])
def test_a_response_that_ends_early_is_refused(name: str) -> None:
    whole = WHOLE[name]
    for size in range(1, len(whole)):
        with pytest.raises(MalformedResponse):
            read_response(io.BytesIO(whole[:size]), "GET")
    with pytest.raises(RemoteDisconnected):
        read_response(io.BytesIO(b""), "GET")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 600 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: b\r\n folded: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\nab".encode("latin-1"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_response_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read_response(io.BytesIO(content), "GET")


@given(content=st.binary(max_size=200), begins=st.booleans())
def test_bytes_of_any_kind_are_read_or_refused(content: bytes, begins: bool) -> None:
    stream = io.BytesIO(b"HTTP/1.1 200 OK\r\n" * begins + content)
    with contextlib.suppress(OSError):
        read_response(stream, "GET")


def test_a_head_has_a_line_for_each_header() -> None:
    lines = b"host: a\r\nx-b: \xe9\r\naccept-encoding: identity\r\n"
    headers = {"host": "a", "x-b": "é"}
    assert head("GET", "/k?a=b", headers, 0) == b"GET /k?a=b HTTP/1.1\r\n" + lines + b"\r\n"
    assert head("PUT", "/k", headers, 0).endswith(lines + b"content-length: 0\r\n\r\n")
    assert head("POST", "/", headers, 12).endswith(lines + b"content-length: 12\r\n\r\n")


@pytest.mark.parametrize("text", ["a\r\nx-c: d", "a\nb", "a\x00", "日"])
def test_no_text_adds_a_line_to_a_head(text: str) -> None:
    with pytest.raises(ValueError, match=r"control character|latin-1"):
        head("GET", "/", {"host": "a", "x-b": text}, 0)
    with pytest.raises(ValueError, match=r"control character|latin-1"):
        head("GET", f"/{text}", {"host": "a"}, 0)
