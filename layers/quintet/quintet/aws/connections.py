"""Kept-alive HTTP connections, safe to share between threads."""

from __future__ import annotations

import select
import socket
from functools import lru_cache
from typing import Any

from quintet.aws.addresses import Address
from quintet.aws.http1 import head, read_response
from quintet.aws.responses import AwsResponse
from quintet.aws.signing import AwsRequest

__all__ = ["Connections"]

_ONE_WRITE = 65_536  # a longer body is not copied


class Connections:
    """A pool of idle connections by address. A connection serves one request at a time."""

    def __init__(self, connect_seconds: float, read_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: dict[Address, list[socket.socket]] = {}

    def send(self, request: AwsRequest, address: Address, *, idempotent: bool) -> AwsResponse:
        """Send a request on an idle connection or a new one.

        Raises:
            OSError: no response arrived.
        """
        connection = self._kept(address)
        if connection is not None:
            try:
                return self._exchange(connection, address, request)
            except ConnectionError:
                if not idempotent:  # the server may have processed it before the connection broke
                    raise
        return self._exchange(self._connect(address), address, request)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            for connection in self._idle.popitem()[1]:
                connection.close()

    def _exchange(
        self, connection: socket.socket, address: Address, request: AwsRequest
    ) -> AwsResponse:
        try:
            body = request.body
            asked = head(request.method, request.target, request.headers, len(body))
            if len(body) <= _ONE_WRITE:
                connection.sendall(asked + body)
            else:
                connection.sendall(asked)
                connection.sendall(body)
            # a reader for each response: bytes that follow it would be of no request
            with connection.makefile("rb") as stream:
                response, keeps = read_response(stream, request.method)
        except BaseException:
            connection.close()
            raise
        if keeps:
            self._idle.setdefault(address, []).append(connection)
        else:
            connection.close()
        return response

    def _kept(self, address: Address) -> socket.socket | None:
        """Return an idle connection that the server has not closed, or None."""
        idle = self._idle.get(address)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took the last one
                return None
            # an idle connection becomes readable when the server closes it
            if not _readable(connection):
                return connection
            connection.close()
        return None

    def _connect(self, address: Address) -> socket.socket:
        # as bytes: of a text, socket and ssl load Python's codec of international names
        host = address.host.encode("ascii" if address.host.isascii() else "idna")
        connection = socket.create_connection(
            (host, address.port),  # type: ignore[arg-type]
            self._connect_seconds,
        )
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.scheme == "https":
                connection = _tls().wrap_socket(connection, server_hostname=host)
            connection.settimeout(self._read_seconds)
        except BaseException:
            connection.close()
            raise
        return connection


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


@lru_cache(maxsize=1)
def _tls() -> Any:
    import ssl

    return ssl.create_default_context()
