"""The guard: which URLs and addresses callbacks may go to."""

from __future__ import annotations

import ipaddress
import re

import pytest

from quintet.errors import BadInput
from quintet.webhooks.url_guard import Blocked, Scope, Target, check_addresses, is_global, parse

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
LOOPBACK = ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"]
PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",  # shared address space of carriers
    "169.254.169.254",  # the metadata service
    "169.254.170.2",  # credentials of containers
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",  # the deprecated IPv4-compatible form
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b:1::a00:1",
    "2001:db8::1",
    "2002:7f00:1::1",  # 6to4
    "2002:808:808::1",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::f5ff:fffe",  # Teredo
    "fc00::1",
    "fd00:ec2::254",  # the metadata service
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
HERE = Target("https", "hooks.example.com", 443, "/")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_global(address: str) -> None:
    assert is_global(ipaddress.ip_address(address))
    check_addresses(HERE, [address], "public")
    check_addresses(HERE, [address], "loopback")


@pytest.mark.parametrize("address", [*PRIVATE, *LOOPBACK])
def test_any_other_address_is_blocked(address: str) -> None:
    assert not is_global(ipaddress.ip_address(address))
    text = "the host's addresses: expected a public address, by https:// on port 443, got another"
    with pytest.raises(Blocked, match=f"^{re.escape(text)}$"):
        check_addresses(HERE, [address], "public")


@pytest.mark.parametrize("private", ["10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0"])
def test_one_private_address_among_several_blocks_the_name(private: str) -> None:
    for addresses in (["8.8.8.8", private], [private, "8.8.8.8"]):
        with pytest.raises(Blocked, match=r"^the host's addresses"):
            check_addresses(HERE, addresses, "public")


def test_a_name_without_addresses_is_blocked() -> None:
    with pytest.raises(Blocked, match=r"^the host has no address$"):
        check_addresses(HERE, [], "public")


@pytest.mark.parametrize("address", PRIVATE)
def test_the_local_stage_opens_this_machine_and_nothing_else(address: str) -> None:
    for loopback in LOOPBACK:
        check_addresses(Target("http", "localhost", 8080, "/"), [loopback], "loopback")
    with pytest.raises(Blocked):
        check_addresses(Target("http", "localhost", 8080, "/"), [address], "loopback")
    with pytest.raises(Blocked):
        check_addresses(HERE, ["127.0.0.1", address], "loopback")


def test_http_to_the_internet_is_blocked_on_the_local_stage_too() -> None:
    for target in (Target("http", "a.example", 80, "/"), Target("https", "a.example", 8443, "/")):
        with pytest.raises(Blocked):
            check_addresses(target, ["8.8.8.8"], "loopback")


@pytest.mark.parametrize(
    ("url", "scope", "target"),
    [
        ("https://Hooks.example.com", "public", HERE),
        (
            "https://hooks.example.com:443/a%20b?token=1&x",
            "public",
            Target("https", "hooks.example.com", 443, "/a%20b?token=1&x"),
        ),
        ("https://8.8.8.8/", "public", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1]/", "public", Target("https", "2606:4700::1", 443, "/")),
        ("http://127.0.0.1:9000/h", "loopback", Target("http", "127.0.0.1", 9000, "/h")),
        ("http://localhost", "loopback", Target("http", "localhost", 80, "/")),
    ],
)
def test_a_url_is_taken_apart(url: str, scope: Scope, target: Target) -> None:
    assert parse(url, scope) == target


def test_the_host_header_names_a_port_that_is_not_the_schemes() -> None:
    assert HERE.authority == "hooks.example.com"
    assert Target("http", "::1", 9000, "/").authority == "[::1]:9000"


NO_NAME = "a host name, or an address in its usual form"
NO_HTTPS = "https:// on port 443"
NO_PUBLIC = "a public address, by https:// on port 443"
NO_TEXT = "printable ASCII without spaces, at most 2,048 characters"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://hooks.example.com/", NO_HTTPS),
        ("https://hooks.example.com:8443/", NO_HTTPS),
        ("https://hooks.example.com:0/", NO_HTTPS),
        ("https://hooks.example.com:x/", "a URL"),
        ("https://[::1/", "a URL"),
        ("ftp://hooks.example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("hooks.example.com", "https://"),
        ("", NO_TEXT),
        ("https://user:word@hooks.example.com/", "a URL without user, password and fragment"),
        ("https://hooks.example.com#@10.0.0.1/", "a URL without user, password and fragment"),
        ("https://hooks.example.com\\@10.0.0.1/", NO_TEXT),
        ("https://hooks.example.com/\r\nhost: x", NO_TEXT),
        ("https://hööks.example.com/", NO_TEXT),
        (f"https://hooks.example.com/{'a' * 2048}", NO_TEXT),
        ("https:///path", NO_NAME),
        ("https://a..b/", NO_NAME),
        ("https://-a.example/", NO_NAME),
        # addresses in disguise
        ("https://2130706433/", NO_NAME),
        ("https://0x7f000001/", NO_NAME),
        ("https://0x7f.1/", NO_NAME),
        ("https://0177.0.0.1/", NO_NAME),
        ("https://127.1/", NO_NAME),
        ("https://127.0.0.1./", NO_NAME),
        ("https://127.0.0.1/", NO_PUBLIC),
        ("https://169.254.169.254/latest/meta-data/", NO_PUBLIC),
        ("https://10.1.2.3/", NO_PUBLIC),
        ("https://[::1]/", NO_PUBLIC),
        ("https://[::ffff:127.0.0.1]/", NO_PUBLIC),
        ("https://[::ffff:a9fe:a9fe]/", NO_PUBLIC),
    ],
)
def test_a_url_is_refused_before_its_name_is_resolved(url: str, expected: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(url, "public")
    assert [(r.field, r.expected) for r in refused.value.refusals] == [("url", expected)]
