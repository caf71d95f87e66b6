"""Who may use a console: each way in that a page of another origin could try."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kits.console import Served, served

from quintet_cli.console.beside import listen
from quintet_cli.console.guard import CONTENT_SECURITY_POLICY
from quintet_cli.stage import Stage, StageError

STAGE = Stage("local", "http://127.0.0.1:1", {}, "http://127.0.0.1:1")
PAGES = ("/", "/panels/models", "/static/console.js", "/nothing")


@pytest.fixture(scope="module")
def console() -> Iterator[Served]:
    with served(STAGE) as found:
        yield found


def test_the_token_of_the_url_becomes_a_cookie_and_leaves_the_address(console: Served) -> None:
    access = console.access
    answer = console.send("GET", f"/?token={access.token}", {})
    assert (answer.status, answer.headers["location"]) == (303, "/")
    name, *flags = answer.headers["set-cookie"].split("; ")
    assert name == f"{access.cookie}={access.session}"
    assert set(flags) == {"HttpOnly", "Path=/", "SameSite=strict"}
    assert access.session != access.token
    assert console.get("/").status == 200


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_shown_without_the_cookie(console: Served, path: str) -> None:
    other = {"Cookie": f"{console.access.cookie}=guess"}
    for headers in ({}, other, {"Cookie": "=;;"}):
        answer = console.send("GET", path, headers)
        assert (answer.status, "quintet console" in answer.text) == (401, True)


def test_a_wrong_token_gives_no_cookie(console: Served) -> None:
    answer = console.send("GET", "/?token=guess", {})
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:{port}"]
)
def test_another_name_for_this_machine_is_refused(console: Served, host: str) -> None:
    # a page whose name was rebound to 127.0.0.1 has the browser's cookie of that name, if any
    named = host.format(port=console.access.port)
    for path in (*PAGES, f"/?token={console.access.token}"):
        answer = console.get(path, {"Host": named})
        assert (answer.status, "set-cookie" in answer.headers) == (421, False)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_origin_reads_nothing(console: Served, site: str) -> None:
    # same-site: another port of this machine, to which browsers send the cookie
    for path in PAGES:
        assert console.get(path, {"Sec-Fetch-Site": site}).status == 403
    assert console.get("/", {"Sec-Fetch-Site": "same-origin"}).status == 200


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}"],
)
def test_a_change_comes_from_the_consoles_own_page(console: Served, origin: str | None) -> None:
    sent = {} if origin is None else {"Origin": origin.format(port=console.access.port)}
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = console.send(method, "/panels/models", {**console.cookie, **sent}, "")
        assert answer.status == 403
    own = {**console.cookie, "Origin": console.origin}
    assert console.send("POST", "/panels/models", own, "").status == 405  # let in


def test_a_form_that_is_too_large_is_refused(console: Served) -> None:
    assert console.post("/replays", {"name": "x" * 70_000}).status == 413


def test_every_response_has_the_headers(console: Served) -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    for answer in (console.get("/"), console.get("/nothing"), console.send("GET", "/", {})):
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


def test_it_listens_on_loopback_alone_and_names_a_way_round_a_port_that_is_taken() -> None:
    with listen(0) as first:
        address, port = first.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(StageError, match=f"port {port} is taken: ") as refused:
            listen(port)
        assert refused.value.command == "quintet console --port 0"
        with listen(port, or_any=True) as other:
            assert other.getsockname()[1] != port
