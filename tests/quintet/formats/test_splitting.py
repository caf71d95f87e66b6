"""Splitting gives the records that a reader of the whole file sees, wherever it is cut."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quintet.formats import splitting
from quintet.formats.sources import Slice
from quintet.formats.splitting import (
    MAX_HELD_BYTES,
    MAX_RECORD_BYTES,
    Records,
    records,
    slices,
    split,
)

CELL = st.text(st.sampled_from('ab",;\n\r é'), max_size=6)
ROWS = st.lists(st.lists(CELL, min_size=2, max_size=3), max_size=25)


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def texts(data: bytes, size: int, delimiter: bytes | None = b",") -> list[bytes]:
    found: list[bytes] = []
    for part in records(blocks(data, size), delimiter):
        found += [part.data[a:b] for a, b in zip(part.starts, part.ends, strict=True)]
    return found


def parsed(data: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if row]


@given(ROWS, st.integers(1, 40), st.sampled_from(["\r\n", "\n"]))
def test_any_block_size_gives_the_records_of_the_csv_module(
    rows: list[list[str]], size: int, newline: str
) -> None:
    out = io.StringIO(newline="")
    # csv.writer leaves \r unquoted where lines end in \n; a lone \r ends no record here
    if newline == "\n":
        csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    else:
        csv.writer(out).writerows(rows)
    data = out.getvalue().encode()
    assert [parsed(text)[0] for text in texts(data, size)] == parsed(data)


def by_lines(data: bytes) -> list[bytes]:
    """The records as Python's csv module tells them, line by line, when it is strict.

    Where it refuses a record, or finds a quote still open at the end, the record is its own first
    line.
    """
    lines, found, at = data.decode().splitlines(keepends=True), [], 0
    while at < len(lines):
        taken = 1
        for count in range(1, len(lines) - at + 1):
            text = "".join(lines[at : at + count])
            try:
                list(csv.reader([text], strict=True))
                taken = count
                break
            except csv.Error as error:
                if "unexpected end" not in str(error):
                    break
        record = "".join(lines[at : at + taken])
        found += [record.encode()] if record.strip("\n") else []
        at += taken
    return found


@given(st.text(st.sampled_from('ab",\n '), max_size=60), st.integers(1, 20))
@example('a"b,"c"\n"d""', 3)
@example('"a"b"c\n,""\n"', 1)
@example('1,"a\n2,b\n3,"c\n4,d\n', 5)
def test_a_stray_quote_costs_its_own_line(text: str, size: int) -> None:
    data = text.encode()
    assert texts(data, size) == by_lines(data)


@given(st.text(st.sampled_from('ab",\n\r'), max_size=60), st.booleans())
def test_the_vectorised_scan_and_the_one_by_field_agree(text: str, final: bool) -> None:
    data = text.encode()
    newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
    found, slow = split(data, b",", final=final), splitting._split_by_field
    careful = slow(data, b",", newlines, final)
    assert found.ends.tolist() == careful.ends.tolist()
    assert found.well_quoted == careful.well_quoted


@given(st.text(st.sampled_from('ab",\n'), max_size=80), st.integers(1, 30), st.integers(1, 20))
@example('a\n"\n\nb,"c\n', 1, 9)
def test_a_slice_read_alone_has_the_records_and_lines_that_planning_saw(
    text: str, target: int, size: int
) -> None:
    data = text.encode()
    cuts = slices(records(blocks(data, size), b","), target, len(data), 0)
    alone: list[bytes] = []
    for cut in cuts:
        part = data[cut.start : cut.end]
        found = texts(part, size)
        assert len(found) == cut.rows
        assert cut.first_line == data[: cut.start].count(b"\n") + 1
        alone += found
    assert alone == texts(data, size)


@given(ROWS, st.integers(1, 200), st.integers(1, 50))
def test_slices_partition_the_file_and_count_its_records(
    rows: list[list[str]], target: int, size: int
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    data = out.getvalue().encode()
    cuts = slices(records(blocks(data, size), b","), target, len(data), 0)
    assert b"".join(data[cut.start : cut.end] for cut in cuts) == (data if parsed(data) else b"")
    whole = parsed(data)
    assert [parsed(data[cut.start : cut.end]) for cut in cuts] == [
        whole[cut.first_row : cut.first_row + cut.rows] for cut in cuts
    ]
    assert sum(cut.rows for cut in cuts) == len(whole)
    assert all(a.end == b.start and a.end - a.start >= target for a, b in pairwise(cuts))


def test_jsonl_ends_at_every_newline_and_skips_empty_lines() -> None:
    data = b'{"a":"x\\"y"}\n\n{"a":1}\r\n\r\n{"a":2}'
    for size in range(1, len(data) + 1):
        assert texts(data, size, None) == [b'{"a":"x\\"y"}\n', b'{"a":1}\r\n', b'{"a":2}']


def test_trailing_empty_lines_belong_to_the_last_slice() -> None:
    data = b"a,b\n1,2\n\n\n"
    assert slices(records([data], b","), 4, len(data), 0) == [
        Slice(0, 4, 0, 1, 1),
        Slice(4, 10, 1, 1, 2),
    ]


@pytest.mark.parametrize("size", [65536, 1 << 22])
@pytest.mark.parametrize("closing", ["", '"\n'])
def test_a_quote_that_is_open_for_too_long_costs_its_own_line(size: int, closing: str) -> None:
    lines = [b'1,2\n3,"x\n', *[b"4,5\n"] * (MAX_RECORD_BYTES // 4), closing.encode()]
    data = b"".join(lines)
    found = texts(data, size)
    assert found[:3] == [b"1,2\n", b'3,"x\n', b"4,5\n"]
    assert len(found) == data.count(b"\n")


@pytest.mark.parametrize("delimiter", [b",", None])
@pytest.mark.parametrize("size", [1 << 21, 1 << 30])
@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 1, MAX_HELD_BYTES + (1 << 20)])
@pytest.mark.parametrize("end", ["\n5,6\n", "\n", ""])
def test_a_record_that_is_too_long_comes_alone(
    delimiter: bytes | None, size: int, length: int, end: str
) -> None:
    long = b'3,"' + b"x" * (length - 3)
    data = b"1,2\n" + long + end.encode()
    found = list(records(blocks(data, size), delimiter))
    apart = next(part for part in found if part.longest > MAX_RECORD_BYTES)
    assert (len(apart), apart.longest) == (1, length + end.startswith("\n"))
    assert apart.offset + int(apart.starts[0]) == 4
    start, kept = int(apart.starts[0]), min(length, MAX_HELD_BYTES)
    assert apart.data[start : start + kept] == long[:kept]
    assert max(len(part.data) for part in found) < MAX_HELD_BYTES + 2 * size + 9
    others = [part for part in found if part is not apart]
    assert [
        part.data[a:b] for part in others for a, b in zip(part.starts, part.ends, strict=True)
    ] == [b"1,2\n"] + [b"5,6\n"] * (end.count("\n") - 1 if end else 0)
    cuts = slices(records(blocks(data, size), delimiter), 8, len(data), 0)
    last = (1, 3) if end.count("\n") == 2 else (2, 1)
    assert [(cut.rows, cut.first_line) for cut in cuts][-1] == last
    assert (cuts[0].start, cuts[-1].end) == (0, len(data))


def test_a_short_open_quote_at_the_end_ends_with_its_line() -> None:
    assert texts(b'1,2\n3,"x\ny\n', 4) == [b"1,2\n", b'3,"x\n', b"y\n"]


def test_an_empty_stream_has_no_records() -> None:
    assert list(records([], b",")) == []
    assert slices(iter(list[Records]()), 10, 0, 0) == []
