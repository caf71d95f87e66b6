"""Access control: allow programs on this machine, refuse web pages open in a browser here.

A page of any site may send requests to 127.0.0.1, and the server decides what the page may read;
moto would allow every origin. An attacker's DNS name that points to 127.0.0.1 makes that page's
requests same-origin, so the requested host name is checked as well.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from ipaddress import ip_address

from quintet_local.http1 import Request, Response

__all__ = ["guarded", "refusal"]

#: this machine's names, for itself and for containers; LocalStack's scripts use the last
NAMES = ("localhost", "host.docker.internal", "localhost.localstack.cloud")


def guarded(
    application: Callable[[Request], Awaitable[Response]], origins: Collection[str] = ()
) -> Callable[[Request], Awaitable[Response]]:
    """Wrap the application so that requests of web pages are refused, except of `origins`."""

    async def answer(request: Request) -> Response:
        why = refusal(request.header, origins)
        if why is None:
            return await application(request)
        body = json.dumps({"message": f"the local AWS answers no web page: {why}"}).encode()
        return Response(403, body, [("Content-Type", "application/json")])

    return answer


def refusal(header: Callable[[str], str | None], origins: Collection[str] = ()) -> str | None:
    """Return why a request is refused, or None if a program on this machine sent it.

    `header` returns a header of the request by its name in lower case.

    A browser sends `Origin` with every request that a page's script may read or that changes data,
    and `Sec-Fetch-Site` with every request; `none` is an address that the user typed or opened.
    """
    if (host := header("host")) is not None and not _is_here(host):
        return f"Host is {host}"
    if (origin := header("origin")) is not None:
        return None if origin in origins else f"Origin is {origin}"
    site = header("sec-fetch-site")
    if site in (None, "none"):
        return None
    follows_a_link = site == "same-origin" and header("sec-fetch-mode") == "navigate"
    return None if follows_a_link else f"Sec-Fetch-Site is {site}"


@lru_cache(maxsize=256)
def _is_here(host: str) -> bool:
    """Whether a Host is an IP address, which DNS cannot redirect, or a name of this machine."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        name = name.lower()
        return any(name == known or name.endswith(f".{known}") for known in NAMES)
    return True
