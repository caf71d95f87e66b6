"""Where a callback may go: the guard against requests into private networks.

The name is resolved once, every address must pass, and the connection is made to an address that
passed: a name that resolves differently a moment later changes nothing.
https://owasp.org/www-community/attacks/Server_Side_Request_Forgery
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal
from urllib.parse import urlsplit

from quintet.errors import BadInput, QuintetError

__all__ = ["Blocked", "Scope", "Target", "check_addresses", "is_global", "parse"]

#: `public`: HTTPS on 443 to the Internet. `loopback`, for the local stage: this machine as well,
#: with http and any port
Scope = Literal["public", "loopback"]
Address = IPv4Address | IPv6Address
_Refusal = Callable[[str, str], QuintetError]

MAX_URL_CHARACTERS = 2_048
_PRINTABLE = re.compile(r"[!-~]+")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# the last label has a letter first: 127.1, 0x7f.1 and 2130706433 are addresses in disguise, and
# which of them a resolver takes differs from one to the next
_NAME = re.compile(rf"({_LABEL}\.)*[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")

# all that is global in IPv6; Python calls the deprecated fec0::/10 global too
_UNICAST = IPv6Network("2000::/3")


class Blocked(QuintetError):
    """A callback's host resolves to an address that callbacks may not go to."""


@dataclass(frozen=True, slots=True)
class Target:
    """A callback's address, taken apart. `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def parse(url: str, scope: Scope) -> Target:
    """The target of a URL, checked as far as it can be without resolving its name.

    Raises:
        BadInput: it is not one that callbacks may go to.
    """
    if len(url) > MAX_URL_CHARACTERS or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _refused("printable ASCII without spaces, at most 2,048 characters", "another text")
    try:
        parts = urlsplit(url)
        host, given = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("a URL", "something else") from None
    if parts.scheme not in ("https", "http"):
        raise _refused("https://", f"the scheme {parts.scheme or 'none'}")
    if "@" in parts.netloc or "#" in url:
        raise _refused("a URL without user, password and fragment", "one with them")
    address = _literal(host)
    if address is None and not _NAME.fullmatch(host):
        raise _refused("a host name, or an address in its usual form", host or "none")
    port = given if given is not None else {"http": 80, "https": 443}[parts.scheme]
    target = Target(parts.scheme, host, port, _path(parts.path, parts.query))
    if scope == "public" and not _is_public(target):
        raise _refused("https:// on port 443", f"{parts.scheme}:// on port {port}")
    if address is not None:
        _check(target, address, scope, _refused)
    return target


def check_addresses(target: Target, addresses: Sequence[str], scope: Scope) -> None:
    """Hold every address that the target's name resolved to against the scope.

    Raises:
        Blocked: one of them may not be connected to, or there is none.
    """
    if not addresses:
        raise Blocked("the host has no address")
    for text in addresses:
        # fe80::1%eth0: the zone is not part of the address
        _check(target, ip_address(text.partition("%")[0]), scope, _blocked)


def is_global(address: Address) -> bool:
    """Whether an address is one of the public Internet, by rules that no Python version bends."""
    address = _plain(address)
    if isinstance(address, IPv6Address) and (address not in _UNICAST or _carries(address)):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _plain(address: Address) -> Address:
    """The IPv4 address of an IPv4-mapped one: that is what is connected to."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _carries(address: IPv6Address) -> bool:
    """Whether traffic comes out at an IPv4 address within: 6to4 and Teredo, both deprecated."""
    return address.sixtofour is not None or address.teredo is not None


def _check(target: Target, address: Address, scope: Scope, refusal: _Refusal) -> None:
    if is_global(address) and _is_public(target):
        return
    if scope == "loopback" and _plain(address).is_loopback:
        return
    wanted = "a public address, by https:// on port 443"
    if scope == "loopback":
        wanted += ", or this machine"
    raise refusal(wanted, "another")


def _is_public(target: Target) -> bool:
    return (target.scheme, target.port) == ("https", 443)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _path(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _refused(expected: str, got: str) -> BadInput:
    return BadInput.of("url", expected, got)


def _blocked(expected: str, got: str) -> Blocked:
    return Blocked(f"the host's addresses: expected {expected}, got {got}")
