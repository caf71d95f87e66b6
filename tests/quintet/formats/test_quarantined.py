"""The one form of quarantined rows and records: what is written is what is read."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from quintet.errors import Refusal
from quintet.formats.quarantined import Quarantined

REASONS = [Refusal(None, "amount", "a number (float32)", "'n/a'")]
WRITTEN = [{"field": "amount", "expected": "a number (float32)", "got": "'n/a'"}]


@pytest.mark.parametrize(
    ("original", "binary", "fields"),
    [
        (b"c1,n/a", False, {"text": "c1,n/a"}),
        (b"caf\xe9", False, {"text": "caf\xe9", "encoding": "latin-1"}),
        ({"amount": "n/a"}, False, {"record": {"amount": "n/a"}}),
        (b"\x00\xff", True, {"data": "AP8="}),
        (None, True, {"data": None}),
    ],
)
def test_a_line_holds_place_original_and_reasons(
    original: Any, binary: bool, fields: dict[str, Any]
) -> None:
    found = Quarantined({"file": "a.csv", "row": 3}, REASONS, original)
    line = found.to_line(binary=binary)
    assert orjson.loads(line) == {"file": "a.csv", "row": 3, "reasons": WRITTEN, **fields}
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert Quarantined.from_line(line) == found


def test_values_of_parquet_that_json_lacks_become_text() -> None:
    line = Quarantined({"row": 0}, REASONS, {"on": date(2026, 1, 2), "of": {7: 1}}).to_line()
    record = orjson.loads(line)["record"]
    assert record == {"on": "2026-01-02", "of": {"7": 1}}


@pytest.mark.parametrize("value", [2**64, {(1, 2): 3}, "\ud800", {b"key": [1]}])
def test_values_that_json_cannot_hold_are_written_as_python_shows_them(value: Any) -> None:
    line = Quarantined({"row": 0}, REASONS, {"amount": "n/a", "odd": value}).to_line()
    assert orjson.loads(line)["record"] == {"amount": "'n/a'", "odd": ascii(value)}
