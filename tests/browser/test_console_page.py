"""The console in Chromium: laid out, by keyboard, in both schemes, and with markup in its texts.

Run by `make test-browser`. With QUINTET_PICTURES=1 it also writes the pictures of docs/console.md.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.kits.chromium import Page, browse
from tests.kits.console import Served, served
from tests.kits.console_world import world
from tests.kits.torn_source import TornItem, TornSource, replays_of

from quintet_cli.console.panels import PANELS
from quintet_cli.stage import Stage

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
#: https://github.com/dequelabs/axe-core: axe-core 4.14.1 of npm, as it is
AXE = Path(__file__).with_name("axe") / "axe.min.js"
STAGE = Stage("shop", "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/shop", {})
#: runs wherever a browser would take it for markup
PLANTED = """</td></script>'"><img src=x onerror="window.ran=1"><script>window.ran=1</script>"""
#: the names of serious findings, with the elements
SERIOUS = """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations
  .filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => one.id + ": " + one.nodes.map(node => node.html).slice(0, 3).join(" ")))"""
#: elements that reach beyond the window, and texts that are cut
OUTSIDE = """[...document.querySelectorAll("main *, header *")].filter(one => {
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  return box.width && !one.closest("thead, .unseen, canvas") && (box.right > innerWidth + 0.5
    || (style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1));
}).map(one => one.outerHTML.slice(0, 80))"""
READ = """!document.querySelector('.panel:not(:has(.read time)), [aria-busy]')"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def _given(found: dict[str, Any], name: str, stage: Stage) -> Any:
    return found.get(name)


@pytest.fixture
def show(page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the console of a stage whose panels find what is given by their names."""
    consoles = []

    def open_console(found: dict[str, Any]) -> Served:
        for name, panel in list(PANELS.items()):
            given = replace(panel, read=partial(_given, found, name))
            monkeypatch.setitem(PANELS, name, given)
        manager = served(STAGE)
        console = manager.__enter__()
        consoles.append(manager)
        page.errors.clear()
        page.requested.clear()
        page.open(f"{console.origin}/?token={console.access.token}")
        page.wait_for(READ)
        return console

    yield open_console
    for manager in consoles:
        manager.__exit__(None, None, None)


def everything(suffix: str = "") -> dict[str, Any]:
    return {name: world(name, lambda text: text + suffix) for name in PANELS}


def axe_findings(page: Page) -> list[str]:
    """What axe finds serious or critical in the page."""
    page.value(AXE.read_text())
    found: list[str] = page.value(SERIOUS)
    return found


def test_axe_would_find_what_is_wrong(page: Page, show: Any) -> None:
    page.look()
    show({})
    page.value("document.querySelector('h2').style.color = '#ddd'")
    page.value("document.querySelector('#pause').textContent = ''")
    found = axe_findings(page)
    assert sorted(one.partition(":")[0] for one in found) == ["button-name", "color-contrast"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("found", [everything(), {}], ids=["full", "empty"])
def test_axe_finds_nothing_serious(
    page: Page, show: Any, found: dict[str, Any], *, dark: bool
) -> None:
    page.look(width=1280, dark=dark)
    show(found)
    assert axe_findings(page) == []
    ground = page.value("getComputedStyle(document.documentElement).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 3 * 128
    assert light is not dark


@pytest.mark.parametrize("width", [1280, 800, 600, 360])
def test_nothing_is_cut_and_nothing_leaves_the_window(page: Page, show: Any, width: int) -> None:
    page.look(width=width)
    show(everything("_and_a_name_that_goes_on_for_a_while"))
    assert page.value("innerWidth") == width
    assert page.value(OUTSIDE) == []
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    # a folded table names the columns beside its cells
    named = page.value("getComputedStyle(document.querySelector('td'), '::before').content")
    assert named == ('"model"' if width < 960 else "none")


def test_markup_in_texts_of_a_stage_never_runs(page: Page, show: Any) -> None:
    page.look()
    console = show(everything(PLANTED))
    assert page.value("window.ran") is None
    assert page.value("document.images.length") == 0
    text = page.value("document.body.textContent")
    assert text.count("<script>window.ran=1</script>") > 50
    assert page.errors == []
    own = console.origin
    assert [url for url in page.requested if not url.startswith((own, "data:"))] == []


def test_the_policy_stops_a_script_that_would_get_in(page: Page, show: Any) -> None:
    page.look()
    show({})
    page.value(
        """(() => { const script = document.createElement("script");
        script.textContent = "window.ran = 1"; document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<b style='position:fixed' id=b>x</b>");
        })()"""
    )
    assert page.value("window.ran") is None
    assert page.value("getComputedStyle(document.getElementById('b')).position") == "static"


class Evil(BaseHTTPRequestHandler):
    """Another server of this machine, whose page is empty."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Evil</title><body></body>")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


#: ways in which a page may use the browser's cookie; what comes of each, empty for nothing
ATTACKS = """(url => Promise.all([
  fetch(url, {credentials: "include"}).then(() => "read", () => ""),
  fetch(url + "/replays", {method: "POST", mode: "no-cors", credentials: "include",
    body: new URLSearchParams({name: "WorkDeadLetters"})}).then(() => "", () => ""),
  new Promise(done => { const script = document.createElement("script");
    script.src = url + "/static/console.js"; script.onload = () => done("ran");
    script.onerror = () => done(""); document.body.append(script); }),
  new Promise(done => { const image = new Image(); image.onload = () => done("loaded");
    image.onerror = () => done(""); image.src = url + "/static/console.css"; }),
]))"""


def test_a_page_on_another_port_of_this_machine_can_do_nothing(
    page: Page, show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = TornSource([TornItem("one")])
    store = replays_of(source, monkeypatch)
    page.look()
    console = show({})  # the browser has its cookie now, and sends it to each port
    looks = Mock(return_value=iter(()))
    monkeypatch.setattr(source, "items", looks)
    with ThreadingHTTPServer(("127.0.0.1", 0), Evil) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_port}/")
        got = page.value(f"{ATTACKS}('{console.origin}')")
        form = f"""(() => {{ const form = document.createElement("form"); form.method = "post";
            form.action = "{console.origin}/replays";
            form.innerHTML = "<input name=name value=WorkDeadLetters>";
            document.body.append(form); form.submit(); }})()"""
        page.value(form)
        page.wait_for("document.body.textContent.includes('Another page asked')")
        server.shutdown()
    assert got == ["", "", "", ""]
    assert (looks.call_count, source.sent, store.objects) == (0, [], {})


def test_the_keyboard_alone_reaches_everything(page: Page, show: Any) -> None:
    page.look()
    show(everything())
    wanted = page.value(
        "[...document.querySelectorAll('a, button, input')].map(e => e.textContent.trim())"
    )
    reached = []
    for _ in wanted:
        page.press("Tab")
        reached.append(page.value("document.activeElement.textContent.trim()"))
        assert page.value(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' ||"
            "getComputedStyle(document.activeElement).boxShadow !== 'none'"
        )
    assert reached == wanted
    page.value("document.getElementById('pause').focus()")
    page.press("Enter", "\r")
    assert page.value("document.getElementById('pause').getAttribute('aria-pressed')") == "true"


def test_a_refresh_keeps_the_focus_and_the_place(page: Page, show: Any) -> None:
    page.look()
    show(everything())
    page.value("document.querySelector('#refused a').focus()")
    page.value("window.before = document.querySelector('#refused a')")
    page.value("document.querySelector('#refused .read').dataset.old = '1'")
    before = page.value("scrollY")
    page.value(
        "document.querySelectorAll('.panel').forEach(e => e.dispatchEvent(new Event('refresh')))"
    )
    page.wait_for("!document.querySelector('#refused .read').dataset.old")
    assert page.value("document.activeElement === window.before")
    assert page.value("scrollY") == before


def test_the_charts_are_drawn(page: Page, show: Any) -> None:
    page.look()
    show(everything())
    page.wait_for("document.querySelectorAll('#traffic canvas').length === 2")
    drawn = page.value(
        """[...document.querySelectorAll('#traffic canvas')].map(one => { const data = one
        .getContext('2d').getImageData(0, 0, one.width, one.height).data;
        return new Set(new Uint32Array(data.buffer)).size; })"""
    )
    assert all(colours > 10 for colours in drawn)


def test_a_replay_by_keyboard_alone(page: Page, show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = TornSource([TornItem(f"job {number} {PLANTED}") for number in range(3)])
    source.free.set()
    store = replays_of(source, monkeypatch)
    page.look()
    console = show({})
    page.open(f"{console.origin}/refused?name={source.name}")
    _press_on(page, "Replay these")
    page.wait_for("document.activeElement?.name === 'confirm'")  # it has the focus
    assert axe_findings(page) == []
    page.write(source.name)
    page.press("Enter", "\r")
    page.wait_for("document.querySelector('[role=status]')?.textContent.includes('done: 3 sent')")
    assert axe_findings(page) == []
    assert len(source.sent) == 3
    assert len(store.objects) == 1  # its audit record
    assert page.value("window.ran") is None


def _press_on(page: Page, text: str) -> None:
    """Go to a link or button by Tab, and press Enter."""
    for _ in range(50):
        page.press("Tab")
        if page.value("document.activeElement.textContent.trim()") == text:
            page.press("Enter", "\r")
            return
    raise AssertionError(f"Tab does not reach {text}")


@pytest.mark.skipif("QUINTET_PICTURES" not in os.environ, reason="writes the docs' pictures")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pictures_for_the_docs(page: Page, show: Any, *, dark: bool) -> None:
    page.look(width=1280, height=1150, dark=dark)
    show(everything())
    page.wait_for("document.querySelectorAll('#traffic canvas').length === 2")
    name = "console-dark.png" if dark else "console.png"
    page.picture(ROOT / "docs" / name)
