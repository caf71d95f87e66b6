"""The numbers of items that `quintet candidates stock` reads."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from quintet.errors import BadInput
from quintet_cli.stock_files import read_item_numbers


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        ("12\n 7\n\n40\n", [12, 7, 40]),
        ('{"item": 12}\n{"item": 7, "name": "bag"}\n', [12, 7]),
        ('name,item\nbag,12\n\n"a, b",7\n', [12, 7]),
        ("item\r\n12\r\n", [12]),
        ("", []),
    ],
)
def test_numbers_are_read_from_text_csv_and_jsonl(
    content: str, numbers: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "sold-out").write_bytes(content.encode(encoding))
        assert read_item_numbers(str(tmp_path / "sold-out")) == numbers
    monkeypatch.setattr("sys.stdin", io.StringIO(content))
    assert read_item_numbers("-") == numbers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"12\n7.5\n", "sold-out: expected the number of an item, got '7.5' in line 2"),
        (b"12\n1_000\n", "got '1_000' in line 2"),
        (b'{"item": true}', "got true in line 1"),
        (b'{"item": 1}\n{"id": 1}', "the field item in each line, got another in line 2"),
        (b'{"item": 1}\n{"item"', "expected JSON in each line, got line 2: "),
        (b"item,name\n,bag\n", "got null in line 2"),
        (b"id,name\n1,bag\n", "numbers, or a header with the column item, got id, name"),
        (b"\xff\xfe", "sold-out: expected text in UTF-8, got another encoding, UTF-16 perhaps"),
        (b'item\n"1\n', "expected numbers, CSV or JSONL, got "),
    ],
)
def test_other_content_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "sold-out").write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_item_numbers(str(tmp_path / "sold-out"))
    assert message in str(refused.value)


def test_a_file_that_is_missing_is_named() -> None:
    with pytest.raises(BadInput, match="FILE: expected a file, or - for the input, got no-such"):
        read_item_numbers("no-such")
