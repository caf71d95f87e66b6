"""Some rows of a stream's record as a record of their own."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from quintet.aws.stream_sender import RECORD_BYTES
from quintet.replay.stream_rows import alone, record_text, row_count

ROWS = [{"x": 1}, {"x": 2.5, "y": "\u00e9"}, {"x": None}]


def tensors(*shape_and_data: tuple[list[int], list[Any]], **more: Any) -> dict[str, Any]:
    names = ("a", "b")
    inputs = [
        {"name": name, "datatype": "FP32", "shape": shape, "data": values}
        for name, (shape, values) in zip(names, shape_and_data, strict=False)
    ]
    return {"inputs": inputs, **more}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"model": "m", "records": ROWS}, {"model": "m", "records": [ROWS[0], ROWS[2]]}),
        ({"records": ROWS}, {"model": "m", "records": [ROWS[0], ROWS[2]]}),
        (ROWS, {"model": "m", "records": [ROWS[0], ROWS[2]]}),
        (
            tensors(([3, 2], [1, 2, 3, 4, 5, 6]), ([3], [7, 8, 9]), model_name="m", id="a"),
            tensors(([2, 2], [1, 2, 5, 6]), ([2], [7, 9]), model_name="m", model="m"),
        ),
        (
            tensors(([3, 2], [[1, 2], [3, 4], [5, 6]]), model="m"),
            tensors(([2, 2], [[1, 2], [5, 6]]), model="m"),
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_rows_stand_alone_in_the_form_that_they_came_in(
    record: Any, expected: Any, packed: bool
) -> None:
    data = json.dumps(record).encode()
    if packed:
        data = gzip.compress(data)
    assert row_count(data) == 3
    made = alone(data, [0, 2], "m")
    assert (json.loads(record_text(made)), made.startswith(b"\x1f\x8b")) == (expected, packed)
    assert alone(data, [0, 2], "m") == made
    assert alone(data, [0, 1, 2], "m") == data


def test_a_bare_object_is_a_row() -> None:
    data = b'{ "x": 1 }'
    assert (row_count(data), alone(data, [0], "m")) == (1, data)


def test_no_record_grows_beyond_what_a_stream_takes() -> None:
    rows = ["x" * (RECORD_BYTES - 20), 1]
    data = json.dumps(rows).encode()
    made = alone(data, [0], "a-model-with-a-name")
    assert len(data) <= RECORD_BYTES
    assert len(made) < RECORD_BYTES
    assert json.loads(record_text(made)) == {"model": "a-model-with-a-name", "records": rows[:1]}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff{", "\\xff{"),
        (b"", ""),
        (b"\x1f\x8bdamaged", "\x1f\\x8bdamaged"),
        (gzip.compress(b"[1]"), "[1]"),
    ],
)
def test_any_bytes_have_a_text(data: bytes, text: str) -> None:
    assert record_text(data) == text
