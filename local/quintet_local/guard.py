"""Who may call: the programs of this machine, and no web page that a browser here has open.

A page of any site may send requests to 127.0.0.1, and what it may read is up to the server; moto
would allow every origin. A name that an attacker's DNS points to 127.0.0.1 makes that page's
requests same-origin, so the name that was asked for counts as well.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from quintet_local.http1 import Request, Response

__all__ = ["guarded", "refusal"]

#: this machine, as itself and as containers call it; the last is what LocalStack's scripts use
NAMES = ("localhost", "host.docker.internal", "localhost.localstack.cloud")


def guarded(
    application: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The application, which sees no request of a web page."""

    async def answer(request: Request) -> Response:
        why = refusal(request)
        if why is None:
            return await application(request)
        body = json.dumps({"message": f"the local AWS answers no web page: {why}"}).encode()
        return Response(403, body, [("Content-Type", "application/json")])

    return answer


def refusal(request: Request) -> str | None:
    """Why a request is refused; None where a program of this machine sent it.

    A browser sends `Origin` with all that a page's script may read or change, and `Sec-Fetch-Site`
    with every request; `none` is an address that its user typed or opened.
    """
    if (host := request.header("host")) is not None and not _is_here(host):
        return f"Host is {host}"
    if (origin := request.header("origin")) is not None:
        return f"Origin is {origin}"
    site = request.header("sec-fetch-site")
    if site in (None, "none"):
        return None
    follows_a_link = site == "same-origin" and request.header("sec-fetch-mode") == "navigate"
    return None if follows_a_link else f"Sec-Fetch-Site is {site}"


def _is_here(host: str) -> bool:
    """Whether a Host is an address, which no DNS can move, or a name of this machine."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        name = name.lower()
        return any(name == known or name.endswith(f".{known}") for known in NAMES)
    return True
