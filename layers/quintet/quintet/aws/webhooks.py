"""Post callbacks over http.client, only to addresses that were checked.

It follows no redirects and uses no proxy (http.client supports neither by itself), and reads only
the status and Retry-After of the response.
"""

from __future__ import annotations

import http
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

from quintet.webhooks.channel import Answer, Undelivered
from quintet.webhooks.url_guard import Scope, Target, check_addresses, parse

__all__ = ["HttpWebhooks", "resolve"]

SECONDS = 15.0
MAX_ADDRESSES = 4
#: interim responses (1xx) before the final one
MAX_INTERIM = 100
USER_AGENT = "quintet-callbacks"

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """Resolve a host to its addresses with the system's resolver.

    Raises:
        OSError: the host has no address, or the resolver does not respond.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class HttpWebhooks:
    """Posts callbacks."""

    def __init__(
        self,
        scope: Scope,
        *,
        seconds: float = SECONDS,
        resolve: Resolve = resolve,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._scope = scope
        self._seconds = seconds
        self._resolve = resolve
        self._tls = tls or _tls

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """See `quintet.webhooks.channel.Webhooks.post`."""
        target = parse(url, self._scope)
        deadline = time.monotonic() + self._seconds
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise Undelivered("not resolved") from error
        check_addresses(target, addresses, self._scope)
        try:
            plain = _connect(target, addresses, deadline)
            with _ending(plain, deadline):
                answer = self._exchange(plain, target, body, headers)
            if time.monotonic() >= deadline:  # http.client accepts truncated headers as complete
                raise TimeoutError
        except ssl.SSLCertVerificationError as error:
            raise Undelivered("certificate refused") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            late = isinstance(error, TimeoutError) or time.monotonic() >= deadline
            raise Undelivered("timed out" if late else "no answer") from error
        return answer

    def _exchange(
        self, plain: socket.socket, target: Target, body: bytes, headers: dict[str, str]
    ) -> Answer:
        sock = plain
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.response_class = _FinalResponse
        try:
            if target.scheme == "https":
                sock = self._tls().wrap_socket(plain, server_hostname=target.host)
            connection.sock = sock  # already connected, so http.client does not resolve the host
            sent = {"host": target.authority, "user-agent": USER_AGENT, **headers}
            connection.request("POST", target.path, body, sent)
            found = connection.getresponse()
            return Answer(found.status, found.getheader("retry-after"))
        finally:
            connection.close()
            sock.close()


class _FinalResponse(http.client.HTTPResponse):
    """The final response: http.client skips only 100, and treats 103 as final.

    https://www.rfc-editor.org/rfc/rfc9110#name-informational-1xx
    """

    def begin(self) -> None:
        """Read through the headers of the final response."""
        for _ in range(MAX_INTERIM):
            super().begin()
            if not 100 <= self.status < 200 or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return
            self.headers = self.msg = None  # type: ignore[assignment]
        raise http.client.HTTPException("too many interim responses")


def _connect(target: Target, addresses: Sequence[str], deadline: float) -> socket.socket:
    """Connect to the first of the checked addresses that accepts a connection."""
    failure: OSError = TimeoutError()
    for address in addresses[:MAX_ADDRESSES]:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, target.port), timeout=left)
        except OSError as error:
            failure = error
    raise failure


@contextmanager
def _ending(sock: socket.socket, deadline: float) -> Iterator[None]:
    """Shut a connection down at the deadline, even in the middle of a read.

    A socket timeout applies to each read: a server that sends a byte now and then never hits it.
    """
    other = sock.dup()  # TLS takes over the original; a shutdown affects the whole connection

    def shut() -> None:
        with suppress(OSError):  # already closed
            other.shutdown(socket.SHUT_RDWR)

    over = threading.Timer(max(0.0, deadline - time.monotonic()), shut)
    over.daemon = True
    over.start()
    try:
        yield
    finally:
        over.cancel()
        over.join()
        other.close()


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
