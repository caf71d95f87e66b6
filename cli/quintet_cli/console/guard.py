"""Who may use the console: the browser that was opened with its URL, from its own pages alone.

It is bound to loopback, which keeps other machines out, but not the pages of a browser on this one.
The `Host` header keeps out names that somebody else's DNS points here (DNS rebinding); the token,
which becomes a cookie that no script reads, keeps out who does not know it; `Sec-Fetch-Site` and
`Origin` keep out pages of other origins, also those on other ports of this machine, to which
browsers send the cookie, too.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quintet_cli.console.beside import new_token

__all__ = ["CONTENT_SECURITY_POLICY", "Access", "Guard"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # with no-referrer, browsers send `Origin: null` with the console's own forms
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
#: methods that change nothing
_SAFE = ("GET", "HEAD")


@dataclass(frozen=True)
class Access:
    """What opens a console: `token` in its URL, `session` in the cookie that the token gives."""

    port: int
    token: str
    session: str = field(default_factory=new_token)

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers send cookies to every port, so each has its own."""
        return f"quintet_console_{self.port}"

    def answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> Response | None:
        """What a request gets instead of its page; None if it may have the page."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            return _refused(421, f"This console answers at http://127.0.0.1:{self.port} only.")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refused(403, "Another page asked. Type the console's URL, or paste it.")
        if method not in _SAFE and origin != f"http://{host}":
            return _refused(403, "A change must come from the console's own page.")
        tokens = parse_qs(query).get("token")
        if method in _SAFE and path == "/" and tokens:
            return self._open(tokens[0])
        if not _same(_cookie(headers.get("cookie", ""), self.cookie), self.session):
            return _refused(401, "Open the URL that `quintet console` or `quintet up` printed.")
        return None

    def _open(self, token: str) -> Response:
        if not _same(token, self.token):
            return _refused(403, "This URL is of a console that has ended: `quintet console`.")
        response = RedirectResponse("/", 303)  # the address bar and the history lose the token
        response.set_cookie(self.cookie, self.session, httponly=True, samesite="strict", path="/")
        return response


class Guard:
    """ASGI middleware: applies `Access` to each request, and sets the headers of each response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page uses web sockets
            await send({"type": "websocket.close", "code": 1008})
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        query = scope["query_string"].decode("latin-1")
        answer = self._access.answer(scope["method"], scope["path"], query, Headers(scope=scope))
        await (answer or self._app)(scope, receive, secured)


def _refused(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _cookie(header: str, name: str) -> str:
    """The value of a cookie; empty if it is not there."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
