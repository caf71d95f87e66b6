"""What a command prints: one line for an error, and nothing that drives the terminal."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text
from tests.kits.packages import package

from quintet_cli.app import main
from quintet_cli.terminal import Console, visible
from quintet_cli.views.skew import skew_view

ESCAPE = "\x1b]0;title\x07\x1b[2J\u202eabc\ud800\r"
SEEN = "\\x1b]0;title\\x07\\x1b[2J\\u202eabc\\ud800\\r"


def test_control_characters_are_shown_as_escapes() -> None:
    assert visible(ESCAPE) == SEEN
    assert visible("plain é ✓\n\tmore") == "plain é ✓\n\tmore"


@pytest.mark.parametrize("form", [str, Text])
def test_no_text_drives_the_terminal(form: type[str] | type[Text]) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, highlight=False)
    table = Table("a long name of a column")
    table.add_row(form("\x1b[2Jcell"))
    console.print(form("\x1b[2Jline"), table, soft_wrap=True)
    assert "\x1b[2J" not in out.getvalue()
    assert "\\x1b[2Jline" in out.getvalue()
    assert "\\x1b[2Jcell" in out.getvalue()


def printed(table: Table, width: int = 80, *, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(
        file=out, width=width, highlight=False, force_terminal=terminal, color_system=None
    )
    console.print(table)
    console.print("and " * 30)  # wrapped as before
    assert console.width == width
    return out.getvalue().splitlines()


def test_a_table_is_as_wide_as_its_names_in_a_file() -> None:
    names = [f"average_number_of_{what}_in_365_days" for what in ("orders", "cancellations")]
    table = Table("feature", *(f"column {number}" for number in range(7)), box=None)
    for name in names:
        table.add_row(name, *["1,234,567"] * 7)
    lines = printed(table)
    assert [line.split()[0] for line in lines[1:3]] == names
    assert max(map(len, lines[3:])) <= 80


def test_a_table_that_is_wider_than_the_terminal_becomes_a_list() -> None:
    table = Table("run", "state", *(f"column {number}" for number in range(7)))
    name = "churn-customers-6145fd984fbcb30429bf873a"
    table.add_row(name, "succeeded", *["1,234,567"] * 7)
    table.add_row(f"{name}-r1", "failed", "", *["7"] * 6)
    lines = printed(table, terminal=True)
    assert max(map(len, lines)) <= 80
    cells = [line.strip().split(maxsplit=1) for line in lines]
    assert cells[:2] == [["run", name], ["state", "succeeded"]]
    assert cells[9:12] == [[], ["run", f"{name}-r1"], ["state", "failed"]]
    assert cells[12] == ["column", "1  7"]  # the empty cell has no line
    assert name in printed(table, 200, terminal=True)[3]  # there is room: a table


def test_a_text_that_no_table_has_room_for_is_folded() -> None:
    table = Table("id", "value", box=None, show_header=False)
    text = "".join(f"{number:03}" for number in range(200))
    table.add_row("one", text)
    lines = printed(table, terminal=True)[:-2]
    assert len(lines) > 1 and max(map(len, lines)) <= 80
    assert "".join(lines).replace("one", "", 1).replace(" ", "") == text


@pytest.mark.parametrize("width", [80, 200])
def test_the_tables_of_skew_name_each_feature_in_full(width: int) -> None:
    name = "average_number_of_cancellations_365d"
    ages = dict.fromkeys(("max_age", "p50", "p95", "p99", "oldest"), 3600.0)
    counts = ("exact", "within", "different", "missing_served", "missing_offline", "missing_both")
    skew = {"feature": name, "rows": 9, "skewed": 0.5, "behind": 1_234_567, "by_event_time": True}
    found = {
        "model": "fraud",
        "version": 1,
        "day": "2026-01-31",
        "rows": 9,
        "freshness": [
            {"feature": name, **ages, "used": 1.0, "aging": True, "too_old": 0.1, "missing": 0.2}
        ],
        "skew": [{**skew, **dict.fromkeys(counts, 1_234_567)}],
        "drift": {
            "too_few": False,
            "features": [{"feature": name, "moved": True, "effect": 0.5, "p": 1e-12}],
        },
    }
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    for part in skew_view(found):
        console.print(part, soft_wrap=True)
    assert out.getvalue().count(name) == 4
    assert "…" not in out.getvalue()


def failing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> str:
    """What a command that fails writes on standard error."""
    monkeypatch.setattr("sys.argv", ["quintet", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code
    return capsys.readouterr().err


def test_names_of_a_model_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = package(tmp_path / "p", extra='"\\e[2Jhidden": 1\n')
    text = failing(monkeypatch, capsys, "check", folder)
    assert text == (
        "error: model.yaml, line 11: \\x1b[2Jhidden: is not a field of the contract\n"
        f"try: quintet check {folder}\n"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"api_url": 1}', "\x00", "\udcff"])
def test_a_damaged_state_file_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
) -> None:
    (tmp_path / "local.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    text = failing(monkeypatch, capsys, "models", "--state", tmp_path)
    assert text == (
        f"error: {tmp_path}/local.json is damaged\ntry: quintet up --detach --state {tmp_path}\n"
    )


@pytest.mark.parametrize("port", ["99999", "-1", "x"])
def test_a_port_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    assert "Invalid value for '--port'" in failing(monkeypatch, capsys, "up", "--port", port)


def test_a_state_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    text = failing(monkeypatch, capsys, "up", "--detach", "--state", tmp_path / "file" / "state")
    state = tmp_path / "file" / "state"
    assert text == (
        f"error: {state}: Not a directory; --state takes another folder\n"
        'try: quintet up --detach --state "$HOME/.quintet"\n'
    )


def test_a_state_of_odd_values_is_not_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"pid": os.getpid(), "endpoint_url": 7, "api_url": 7, "outputs": 7}
    content = json.dumps({**odd, "template": 7, "started": 7})
    (tmp_path / "local.json").write_text(content)
    assert "no local AWS runs from" in failing(monkeypatch, capsys, "status", "--state", tmp_path)
