"""Calls to this machine bypass the proxies that the environment names."""

from __future__ import annotations

from collections.abc import MutableMapping

__all__ = ["bypass_proxies"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def bypass_proxies(environ: MutableMapping[str, str]) -> None:
    """Exclude loopback addresses from HTTP_PROXY and similar variables, for children too.

    urllib, botocore and requests read `no_proxy` before `NO_PROXY`.
    """
    name = "no_proxy" if "no_proxy" in environ else "NO_PROXY"
    given = [host for host in environ.get(name, "").split(",") if host.strip()]
    environ[name] = ",".join([*given, *(host for host in _LOOPBACK if host not in given)])
