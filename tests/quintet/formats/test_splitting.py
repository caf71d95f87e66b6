"""Splitting gives the records that a reader of the whole file sees, wherever it is cut."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quintet.errors import BadInput
from quintet.formats.sources import Slice
from quintet.formats.splitting import MAX_RECORD_BYTES, Records, record_ends, records, slices

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


@given(st.text(st.sampled_from('ab",\n '), max_size=60), st.integers(1, 20))
@example('a"b,"c"\n"d""', 3)
@example('"a"b"c\n,""\n"', 1)
def test_stray_quotes_are_read_as_the_csv_module_reads_them(text: str, size: int) -> None:
    data = text.encode()
    assert [parsed(part) for part in texts(data, size)] == [[row] for row in parsed(data)]


@given(st.text(st.sampled_from('ab",\n\r'), max_size=60))
def test_the_vectorised_scan_and_the_one_by_field_agree(text: str) -> None:
    from quintet.formats.splitting import _ends_by_field

    data = text.encode()
    assert record_ends(data, b",").tolist() == _ends_by_field(data, b",").tolist()


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
    assert slices(records([data], b","), 4, len(data), 0) == [Slice(0, 4, 0, 1), Slice(4, 10, 1, 1)]


def test_a_quote_left_open_is_refused_before_memory_runs_out() -> None:
    data = b'1,2\n3,"' + b"x" * MAX_RECORD_BYTES
    with pytest.raises(BadInput, match="the record at byte 4: expected at most 1048576 bytes"):
        list(records(blocks(data, 65536), b","))


def test_a_short_open_quote_at_the_end_is_one_last_record() -> None:
    assert texts(b'1,2\n3,"x\ny\n', 4) == [b"1,2\n", b'3,"x\ny\n']


def test_an_empty_stream_has_no_records() -> None:
    assert list(records([], b",")) == []
    assert slices(iter(list[Records]()), 10, 0, 0) == []
