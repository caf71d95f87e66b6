"""docs/cast.py draws what a terminal showed; the committed casts show commands that exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from docs import cast
from docs.cast import LONGEST_WAIT, Line, draw, record, shown_at, typed

from quintet_cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
CASTS = sorted(ROOT.glob("docs/*.svg"))
MOST_BYTES = 200_000
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    """The rows that an SVG shows, from top to bottom."""
    rows: dict[float, str] = {}
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        if (element.get("class") or "").startswith("c-"):
            row = float(element.get("y", "0"))
            rows[row] = rows.get(row, "") + (element.text or "").replace("\u00a0", " ")
    return [rows[row] for row in sorted(rows)]


def test_it_records_a_command_in_a_terminal_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "version.svg"
    words = ["cast", "--out", str(out), "--command", "quintet --version"]
    monkeypatch.setattr(sys, "argv", words)
    assert cast.main() == 0
    typed_row, printed = texts(out.read_text(encoding="utf-8"))
    assert typed_row == "$quintet --version"  # the blank between them is not drawn
    assert re.fullmatch(r"quintet \d+\.\d+\.\d+", printed)


def test_lines_keep_colours_and_have_times_in_order(tmp_path: Path) -> None:
    script = r"print('\x1b[32mgreen\x1b[0m'); print('no line end', end='')"
    first, last = record([sys.executable, "-c", script], tmp_path, {})
    assert (first.text, last.text) == ("\x1b[32mgreen\x1b[0m", "no line end")
    assert 0 < first.at <= last.at
    assert 'fill: #3fb950">' not in draw([first], "t")
    assert "fill: #3fb950" in draw([first], "t")


def test_the_consoles_key_is_not_shown(tmp_path: Path) -> None:
    script = "print('http://127.0.0.1:4569/?token=aB-c_9 is it')"
    (line,) = record([sys.executable, "-c", script], tmp_path, {})
    assert line.text == "http://127.0.0.1:4569/?token=... is it"


def test_a_command_that_fails_is_not_drawn(tmp_path: Path) -> None:
    script = "print('why'); raise SystemExit(3)"
    with pytest.raises(RuntimeError, match=r"ended with 3:\nwhy"):
        record([sys.executable, "-c", script], tmp_path, {})


def test_a_clock_shows_minutes_and_seconds() -> None:
    (row,) = texts(draw([typed("x", 125.9, clock=True)], "t"))
    assert row == "2:05$x"


def test_a_long_wait_is_cut_and_a_short_one_kept() -> None:
    assert shown_at([typed("x"), Line(1.0, ""), Line(91.0, ""), Line(91.5, "")]) == [
        0.5,
        1.5,
        1.5 + LONGEST_WAIT,
        2.0 + LONGEST_WAIT,
    ]


def test_markup_braces_and_long_lines_are_shown_whole() -> None:
    long = "0123456789" * 23
    rows = texts(draw([Line(0, '<b>&{"a": {1}}</b>'), Line(0, long)], "a <title> & {braces}"))
    assert rows[0] == '<b>&{"a": {1}}</b>'
    assert [len(row) for row in rows[1:]] == [110, 110, 10]
    assert "".join(rows[1:]) == long


@pytest.mark.parametrize("path", [path for path in CASTS if "@keyframes" in path.read_text()])
def test_a_committed_cast_is_small_and_shows_commands_that_exist(path: Path) -> None:
    svg = path.read_text(encoding="utf-8")
    assert len(svg.encode()) <= MOST_BYTES
    assert re.findall(r"<script|<image|<foreignObject|https?://(?!127\.0\.0\.1|www\.w3)", svg) == []
    rows = texts(svg)
    commands = {word for row in rows for word in re.findall(r"^[\d:]* ?\$ ?quintet ([a-z]+)", row)}
    assert {"publish"} <= commands <= set(COMMANDS)
    assert not re.search(r"token=(?!\.\.\.)", svg)
    assert [row for row in rows if re.search(r"/(home|root|tmp)/", row)] == []


def test_the_demos_cast_ends_as_the_demo_does() -> None:
    rows = texts((ROOT / "docs/demo.svg").read_text(encoding="utf-8"))
    assert rows[0] == "$quintet demo"
    assert any(re.match(r"done in \d+ s", row) for row in rows)
    assert sum(row.startswith("Publish the shop's models") for row in rows) == 1
