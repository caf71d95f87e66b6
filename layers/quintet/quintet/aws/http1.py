"""HTTP/1.1 as AWS's services speak it: heads of requests, and responses read from a stream.

`http.client` loads `ssl` and, to parse headers, `email`: a twentieth of a cold start. A response is
held to RFC 9112 at least as strictly here as there, which tests/quintet/aws/test_http1.py compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO

from quintet.aws.responses import AwsResponse

__all__ = ["MalformedResponse", "RemoteDisconnected", "head", "read_response"]

#: the bounds of `http.client`: bytes of a line, and lines of a head
LONGEST_LINE, MOST_LINES = 65_536, 100
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: .*)?")
#: all but the tab
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = (204, 304)


class MalformedResponse(OSError):
    """What arrived is not a whole HTTP/1.1 response."""


class RemoteDisconnected(ConnectionResetError):
    """The server closed the connection without a byte of a response."""


def head(method: str, target: str, headers: Mapping[str, str], length: int) -> bytes:
    """A request up to its body of `length` bytes. `headers` include `host`.

    Raises:
        ValueError: a line has a control character, which could end it, or does not fit Latin-1.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append("accept-encoding: identity")
    if length or method not in ("GET", "HEAD", "DELETE"):
        lines.append(f"content-length: {length}")
    if any(map(_CONTROLS.search, lines)):
        raise ValueError("a control character in the head of a request")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read_response(stream: BinaryIO, method: str) -> tuple[AwsResponse, bool]:
    """Read the response to a request, and whether the connection can take another.

    Raises:
        OSError: no whole response arrived; RemoteDisconnected if nothing did.
    """
    status = 100
    while 100 <= status < 200:  # interim responses
        minor, status = _status(stream)
        fields = _fields(stream)
    tokens = fields.get("connection", "").lower()
    keeps = "close" not in tokens if minor else "keep-alive" in tokens
    if method == "HEAD" or status in _BODILESS:
        return AwsResponse(status, fields, b""), keeps
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise MalformedResponse(f"transfer coding {coding[:80]!r}")
        return AwsResponse(status, fields, _chunks(stream)), keeps
    if length is None:
        return AwsResponse(status, fields, stream.read()), False
    if not (length.isascii() and length.isdigit()):
        raise MalformedResponse(f"length {length[:80]!r}")
    return AwsResponse(status, fields, _exactly(stream, int(length))), keeps


def _status(stream: BinaryIO) -> tuple[int, int]:
    """The minor version and the status of a response."""
    line = stream.readline(LONGEST_LINE + 1)
    if not line:
        raise RemoteDisconnected("no response")
    found = _STATUS_LINE.fullmatch(line.rstrip(b"\r\n"))
    if found is None or not line.endswith(b"\n"):
        raise MalformedResponse("no status line of HTTP/1.1")
    return int(found[1]), int(found[2])


def _fields(stream: BinaryIO) -> dict[str, str]:
    """The header fields, or trailers, by their names in lower case."""
    fields: dict[str, str] = {}
    for _ in range(MOST_LINES + 1):
        line = _line(stream)
        if not line:
            return fields
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():  # folded lines begin with a space
            raise MalformedResponse("a header line without a name")
        name, value = name.lower(), value.strip(" \t")
        if name == "content-length" and fields.get(name, value) != value:
            raise MalformedResponse("two lengths")
        fields[name] = value
    raise MalformedResponse(f"more than {MOST_LINES} header lines")


def _line(stream: BinaryIO) -> str:
    line = stream.readline(LONGEST_LINE + 1)
    if not line.endswith(b"\n"):
        raise MalformedResponse("a header line that does not end")
    return line.rstrip(b"\r\n").decode("latin-1")


def _chunks(stream: BinaryIO) -> bytes:
    """A body in chunks; their extensions and the trailers are ignored."""
    chunks: list[bytes] = []
    while True:
        digits = _line(stream).partition(";")[0].strip()
        if not digits or digits.strip("0123456789abcdefABCDEF"):
            raise MalformedResponse("a chunk without a size")
        if not (size := int(digits, 16)):
            _fields(stream)
            return b"".join(chunks)
        chunks.append(_exactly(stream, size))
        if _line(stream):
            raise MalformedResponse("a chunk longer than its size")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise MalformedResponse(f"{len(content)} of {size} bytes")
    return content
