"""Guards callbacks against requests into private networks (SSRF).

The host name is resolved once, every address must pass, and the connection uses an address that
passed, so a name that later resolves differently has no effect.
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

#: `public`: HTTPS on port 443 to the Internet. `loopback`, for the local stage: also this machine,
#: by http and on any port
Scope = Literal["public", "loopback"]
Address = IPv4Address | IPv6Address
_Refusal = Callable[[str, str], QuintetError]

MAX_URL_CHARACTERS = 2_048
_PRINTABLE = re.compile(r"[!-~]+")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# the last label must begin with a letter: resolvers differ in whether they accept 127.1, 0x7f.1
# and 2130706433 as addresses
_NAME = re.compile(rf"({_LABEL}\.)*[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")

# all global unicast addresses; Python also treats the deprecated fec0::/10 as global
_UNICAST = IPv6Network("2000::/3")


class Blocked(QuintetError):
    """A callback's host resolves to an address that callbacks may not be sent to."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed callback URL. `path` includes the query."""

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
    """Parse a URL and check it as far as possible without resolving its name.

    Raises:
        BadInput: callbacks may not be sent to the URL.
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
    """Check every address that the target's name resolved to against the scope.

    Raises:
        Blocked: an address is outside the scope, or the name has no address.
    """
    if not addresses:
        raise Blocked("the host has no address")
    for text in addresses:
        # fe80::1%eth0: the zone is not part of the address
        _check(target, ip_address(text.partition("%")[0]), scope, _blocked)


def is_global(address: Address) -> bool:
    """Whether an address is on the public Internet, by rules independent of the Python version."""
    address = _plain(address)
    if isinstance(address, IPv6Address) and (address not in _UNICAST or _carries(address)):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _plain(address: Address) -> Address:
    """The IPv4 address of an IPv4-mapped address, which is the one connected to."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _carries(address: IPv6Address) -> bool:
    """Whether the address embeds an IPv4 address: 6to4 and Teredo, both deprecated."""
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
