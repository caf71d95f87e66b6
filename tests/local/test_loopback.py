"""Which hosts are called past the proxies of the environment."""

from __future__ import annotations

import urllib.request

import pytest
from botocore.utils import should_bypass_proxies

from quintet_local.loopback import bypass_proxies


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "NO_PROXY"),
        ({"NO_PROXY": "a.example"}, "NO_PROXY"),
        ({"no_proxy": "localhost"}, "no_proxy"),
    ],
)
def test_loopback_is_not_proxied(
    given: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HTTP_PROXY": "http://127.0.0.1:9", **given}
    bypass_proxies(environ)
    assert set(environ) == {"HTTP_PROXY", name}
    assert environ[name].startswith(given.get(name, ""))
    again = dict(environ)
    bypass_proxies(again)
    assert again == environ
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    for host in ("127.0.0.1:4566", "localhost:3000", "localhost", "[::1]:4566"):
        assert urllib.request.proxy_bypass(host)
        assert should_bypass_proxies(f"http://{host}/a")
    assert not urllib.request.proxy_bypass("sts.amazonaws.com")
