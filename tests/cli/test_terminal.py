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
    assert text == "error: model.yaml, line 11: \\x1b[2Jhidden: is not a field of the contract\n"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"api_url": 1}', "\x00", "\udcff"])
def test_a_damaged_state_file_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
) -> None:
    (tmp_path / "local.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    text = failing(monkeypatch, capsys, "models", "--state", tmp_path)
    assert "local.json is damaged; `quintet up --detach` writes it again" in text
    assert text.count("\n") == 1


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
    assert text == f"error: {state}: Not a directory; --state takes another folder\n"


def test_a_state_of_odd_values_is_not_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"pid": os.getpid(), "endpoint_url": 7, "api_url": 7, "outputs": 7}
    content = json.dumps({**odd, "template": 7, "started": 7})
    (tmp_path / "local.json").write_text(content)
    assert "no local AWS runs from" in failing(monkeypatch, capsys, "status", "--state", tmp_path)
