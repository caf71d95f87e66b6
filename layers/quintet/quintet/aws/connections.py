"""Kept-alive HTTP connections, safe to share between threads."""

from __future__ import annotations

import http.client
import select
import socket
from functools import lru_cache
from typing import Any

from quintet.aws.addresses import Address
from quintet.aws.responses import AwsResponse
from quintet.aws.signing import AwsRequest

__all__ = ["Connections"]


class Connections:
    """A pool of idle connections by address. A connection serves one request at a time."""

    def __init__(self, connect_seconds: float, read_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: dict[Address, list[http.client.HTTPConnection]] = {}

    def send(self, request: AwsRequest, address: Address, *, idempotent: bool) -> AwsResponse:
        """Send a request on an idle connection or a new one.

        Raises:
            OSError, http.client.HTTPException: no response arrived.
        """
        connection = self._kept(address)
        if connection is not None:
            try:
                return self._exchange(connection, address, request)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not idempotent:  # the server may have processed it before the connection broke
                    raise
        return self._exchange(self._connect(address), address, request)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            for connection in self._idle.popitem()[1]:
                connection.close()

    def _exchange(
        self, connection: http.client.HTTPConnection, address: Address, request: AwsRequest
    ) -> AwsResponse:
        try:
            connection.request(
                request.method, request.target, request.body or None, request.headers
            )
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.setdefault(address, []).append(connection)
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return AwsResponse(answer.status, fields, content)

    def _kept(self, address: Address) -> http.client.HTTPConnection | None:
        """Return an idle connection that the server has not closed, or None."""
        idle = self._idle.get(address)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took the last one
                return None
            sock = connection.sock
            # an idle connection becomes readable when the server closes it
            if sock is not None and not _readable(sock):
                return connection
            connection.close()
        return None

    def _connect(self, address: Address) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(
                address.host, address.port, timeout=self._connect_seconds, context=_tls()
            )
        else:
            connection = http.client.HTTPConnection(
                address.host, address.port, timeout=self._connect_seconds
            )
        connection.connect()
        connection.sock.settimeout(self._read_seconds)
        return connection


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


@lru_cache(maxsize=1)
def _tls() -> Any:
    import ssl

    return ssl.create_default_context()
