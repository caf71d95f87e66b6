"""Access control: allow programs on this machine, refuse web pages open in a browser here.

A page of any site may send requests to 127.0.0.1, and the server decides what the page may read;
moto would allow every origin. An attacker's DNS name that points to 127.0.0.1 makes that page's
requests same-origin, so the requested host name is checked as well.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from quintet_local.http1 import Request, Response

__all__ = ["guarded", "refusal"]

#: this machine's name for itself, and those for containers; LocalStack's scripts use the last
OWN_NAME = "localhost"
NAMES = (OWN_NAME, "host.docker.internal", "localhost.localstack.cloud")


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
    and `Sec-Fetch-Site` with every request to loopback; `none` is an address that the user typed or
    opened. To other hosts without TLS it sends neither with an image: 0.0.0.0 leads here as well.
    https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    if (host := header("host")) is not None and not _is_here(host):
        return f"Host is {host}"
    if (origin := header("origin")) is not None:
        return None if origin in origins else f"Origin is {origin}"
    site = header("sec-fetch-site")
    if site is None and host is not None and not _is_loopback(host):
        of_browser = (header("user-agent") or "").startswith("Mozilla/")
        return f"a browser asks {host}; open 127.0.0.1" if of_browser else None
    if site in (None, "none"):
        return None
    follows_a_link = site == "same-origin" and header("sec-fetch-mode") == "navigate"
    return None if follows_a_link else f"Sec-Fetch-Site is {site}"


@lru_cache(maxsize=256)
def _is_here(host: str) -> bool:
    """Whether a Host is an IP address, which DNS cannot redirect, or a name of this machine."""
    name, address = _parts(host)
    return address is not None or any(_is_or_below(name, known) for known in NAMES)


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    """Whether browsers know by a Host alone that it is their own machine."""
    name, address = _parts(host)
    return address.is_loopback if address is not None else _is_or_below(name, OWN_NAME)


def _parts(host: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    """The name in a Host, in lower case, and the address that it is, if it is one."""
    head, _, port = host.rpartition(":")
    name = (head if port.isdigit() else host).lower()
    try:
        return name, ip_address(name.strip("[]"))
    except ValueError:
        return name, None


def _is_or_below(name: str, known: str) -> bool:
    return name == known or name.endswith(f".{known}")
