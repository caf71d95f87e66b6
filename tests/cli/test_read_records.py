"""The records that `quintet predict` reads."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from quintet.errors import BadInput
from quintet_cli.commands.predict import read_records

ROWS = [{"a": 1.0}, {"a": 2.0}]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('{"a": 1.0}', ROWS[:1]),
        ('[{"a": 1.0}, {"a": 2.0}]', ROWS),
        ('{"records": [{"a": 1.0}, {"a": 2.0}]}', ROWS),
        ('{"a": 1.0}\n{"a": 2.0}\n', ROWS),
    ],
)
def test_records_are_read_from_text_files_and_the_input(
    content: str, rows: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_records(content) == rows
    (tmp_path / "rows.jsonl").write_text(content)
    assert read_records(str(tmp_path / "rows.jsonl")) == rows
    monkeypatch.setattr("sys.stdin", io.StringIO(content))
    assert read_records("-") == rows


@pytest.mark.parametrize("content", ["[]", "[1", '{"a": }', "[", '{"records": 3}'])
def test_other_input_is_refused(content: str) -> None:
    with pytest.raises(BadInput, match="--records: expected a record such as "):
        read_records(content)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        read_records("nosuch.jsonl")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\xac\xff")
    with pytest.raises(BadInput, match="expected text in UTF-8, got another encoding, LATIN1"):
        read_records(str(file))
