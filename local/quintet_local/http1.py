"""A small HTTP/1.1 server on asyncio: keep-alive, header names in their original case.

Serves the REST API and the Runtime API, where a framework's cost per request would be most of
the measured latency.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus

import httptools

__all__ = ["Application", "Hangup", "Request", "Response", "serve"]


class Hangup(Exception):
    """Raised by an application to break the connection instead of responding."""


@dataclass(slots=True)
class Request:
    """One request: `target` is the raw path and query, `headers` keep their case and order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    client: str
    body: bytes = b""
    #: the headers by lower-case name, once one was asked for
    _values: dict[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    def header(self, name: str) -> str | None:
        """Return the last value of a header, by its lower-case name."""
        if self._values is None:
            self._values = {key.lower(): value for key, value in self.headers}
        return self._values.get(name)


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


Application = Callable[[Request], Awaitable[Response]]


async def serve(
    application: Application,
    listener: socket.socket,
    *,
    too_large: Response,
    max_body: int,
) -> asyncio.Server:
    """Serve `application` on a bound socket; a body over `max_body` gets `too_large`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: _Connection(application, max_body, too_large), sock=listener, backlog=1024
    )


class _Connection(asyncio.Protocol):
    """One connection. Requests that arrive during a response wait in order."""

    def __init__(self, application: Application, max_body: int, too_large: Response) -> None:
        self._application = application
        self._max_body = max_body
        self._too_large = too_large
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: list[tuple[Request, bool]] = []
        self._task: asyncio.Task[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = 0

    # asyncio callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client = str((transport.get_extra_info("peername") or ("127.0.0.1",))[0])
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(Response(501))
        except httptools.HttpParserError:
            if not self._transport.is_closing():
                self._refuse(Response(400))

    # parser callbacks

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1")
        if key.lower() == "expect" and value.lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._headers.append((key, value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= self._max_body:
            self._body.append(body)

    def on_message_complete(self) -> None:
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            self._client,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
        )
        large = self._size > self._max_body
        keep = self._parser.should_keep_alive()
        self._reset()
        if large:
            self._refuse(self._too_large)
            return
        self._waiting.append((request, keep))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        while self._waiting:
            request, keep = self._waiting.pop(0)
            try:
                response = await self._application(request)
            except Hangup:
                self._transport.abort()
                return
            except Exception:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"{request.method} {request.target} failed"}
                )
                response = Response(500)
            self._write(response, keep, request.method == "HEAD")
            if not keep:
                self._transport.close()
                return

    def _refuse(self, response: Response) -> None:
        self._write(response, False, False)
        self._transport.close()

    def _write(self, response: Response, keep: bool, head: bool) -> None:
        lines = [_status_line(response.status)]
        lines += [f"{name}: {value}" for name, value in response.headers]
        # the response to a HEAD may state the body's length
        if not (head and any(name.lower() == "content-length" for name, _ in response.headers)):
            lines.append(f"Content-Length: {len(response.body)}")
        if not keep:
            lines.append("Connection: close")
        payload = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        self._transport.write(payload if head else payload + response.body)


@cache
def _status_line(status: int) -> str:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    return f"HTTP/1.1 {status} {reason}"
