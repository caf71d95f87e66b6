"""Each panel: every text of a stage is shown as text, and nothing it finds stays unsaid."""

from __future__ import annotations

import re
import time
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.kits.console import served
from tests.kits.console_world import world

from quintet_cli.console.panels import PANELS
from quintet_cli.console.rendering import render
from quintet_cli.stage import Stage

#: ends whatever it may stand in: an element, an attribute, a script, a style, a template's block
PLANTED = (
    """</td></script></style>'"><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}"""
)
TAGS = {
    *("a", "br", "code", "div", "figcaption", "figure", "h3", "p", "progress", "span", "strong"),
    *("table", "tbody", "td", "th", "thead", "time", "tr"),
}
ATTRIBUTES = {
    *("aria-label", "class", "data-label", "data-series", "datetime", "href"),
    *("hx-morph-skip-children", "max", "role", "scope", "value"),
}


class Elements(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(name: str, found: Any, at: str = "") -> Elements:
    page = render(f"panels/{name}.html", found=found, empty="`quintet x`", at=at, now=time.time())
    return Elements(page)


@pytest.mark.parametrize("name", PANELS)
def test_markup_in_any_text_of_a_stage_stays_text(name: str) -> None:
    plain = rendered(name, world(name, str))
    planted = rendered(name, world(name, lambda text: text + PLANTED))
    assert planted.text.count(PLANTED) >= 1
    assert plain.tags == planted.tags
    assert set(planted.tags) <= TAGS
    assert {attribute for attribute, _ in planted.attributes} <= ATTRIBUTES
    links = [value for attribute, value in planted.attributes if attribute == "href"]
    assert all(re.fullmatch(r"/[a-z/]+\?[A-Za-z0-9_.=&%+-]+", link) for link in links)


@pytest.mark.parametrize("name", PANELS)
def test_every_text_is_shown_whole_and_its_control_characters_are(name: str) -> None:
    seen = []

    def text(found: str) -> str:
        seen.append(found)
        return f"{found}\u202e\x1b[31m"

    page = rendered(name, world(name, text))
    shown = page.text + "".join(value for attribute, value in page.attributes)
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    hidden = {"room 2", "room 3", "bucket"}  # counted as more; the bucket is the commands' alone
    missing = {one for one in seen if one.replace("`", "") not in page.text} - hidden
    assert missing == set()


@pytest.mark.parametrize("name", PANELS)
def test_every_table_names_the_columns_of_its_cells_for_narrow_windows(name: str) -> None:
    page = rendered(name, world(name, str))
    labels = [value for attribute, value in page.attributes if attribute == "data-label"]
    assert len(labels) == page.tags["td"]
    assert all(labels)


@pytest.mark.parametrize("name", PANELS)
def test_an_empty_panel_names_the_command_that_fills_it(name: str) -> None:
    for at in ("", " --stage prod"):
        told = PANELS[name].empty.format(at=at)
        commands = re.findall(r"`(quintet [^`]*)`", told)
        assert commands
        assert all(one.endswith(at) for one in commands)
        page = render(f"panels/{name}.html", found=None, empty=told, at=at, now=time.time())
        assert f"<code>{commands[0]}</code>" in page


def test_times_have_one_format() -> None:
    for name in PANELS:
        page = render(f"panels/{name}.html", found=world(name, str), empty="", at="", now=1.0)
        times = re.findall(r"<time[^>]*>([^<]*)</time>", page)
        assert "1970-01-01 00:00:01Z" in times
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", one) for one in times)


def test_a_panel_that_fails_leaves_the_others_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("local", "http://127.0.0.1:1", {}, "http://127.0.0.1:1")
    with served(stage) as console:
        for name in PANELS:
            answer = console.get(f"/panels/{name}")
            assert answer.status == 200
            assert "Not shown" in answer.text
            assert "no output" in answer.text  # of the stack, which has none
        assert console.get("/panels/nothing").status == 404
        assert all(f'hx-get="/panels/{name}"' in console.get("/").text for name in PANELS)
