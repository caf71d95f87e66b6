"""Posting callbacks over http.client: to the address that was checked, and nowhere else.

No redirect is followed, no proxy is asked (http.client knows of neither), and nothing of the
answer but its status and its Retry-After is read.
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
    """The addresses of a host, as the system resolves it.

    Raises:
        OSError: it has none, or the resolver does not answer.
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
            if time.monotonic() >= deadline:  # http.client takes headers cut short for whole ones
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
            connection.sock = sock  # connected already: it resolves and connects nothing itself
            sent = {"host": target.authority, "user-agent": USER_AGENT, **headers}
            connection.request("POST", target.path, body, sent)
            found = connection.getresponse()
            return Answer(found.status, found.getheader("retry-after"))
        finally:
            connection.close()
            sock.close()


class _FinalResponse(http.client.HTTPResponse):
    """A response that is final: http.client skips 100 alone, and takes 103 for an answer.

    https://www.rfc-editor.org/rfc/rfc9110#name-informational-1xx
    """

    def begin(self) -> None:
        """Read up to the final response's headers."""
        for _ in range(MAX_INTERIM):
            super().begin()
            if not 100 <= self.status < 200 or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return
            self.headers = self.msg = None  # type: ignore[assignment]
        raise http.client.HTTPException("too many interim responses")


def _connect(target: Target, addresses: Sequence[str], deadline: float) -> socket.socket:
    """A connection to the first of the checked addresses that takes one."""
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
    """Shut a connection down at the deadline, whatever goes on.

    A socket's own time-out is for each read: who sends a byte now and then would hold us for ever.
    """
    other = sock.dup()  # TLS takes the first one over; a shutdown is of the connection

    def shut() -> None:
        with suppress(OSError):  # it is closed already
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
