"""Rows that are alike are read at once, and come to what a look at each of them comes to."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.columns import Batch
from quintet.contract import Contract, Feature, Input, Output
from quintet.formats import text_rows
from quintet.formats.alike import numbers
from quintet.formats.alike_csv import csv_batch
from quintet.formats.alike_jsonl import jsonl_batch
from quintet.formats.sources import Layout
from quintet.formats.splitting import records

CONTRACT = Contract(
    name="many",
    version=1,
    task="regression",
    entity="customer",
    features=(
        Feature(name="amount", dtype="float32"),
        Feature(name="exact", dtype="float64"),
        Feature(name="small", dtype="float16"),
        Feature(name="visits", dtype="int64"),
        Feature(name="count", dtype="uint8"),
        Feature(name="country", dtype="string"),
    ),
    inputs=(Input(name="amount", dtype="float32", shape=(-1, 1)),),
    outputs=(Output(name="score", dtype="float32", shape=(-1,), meaning="score"),),
)
NUMERIC = ("amount", "exact", "small", "visits", "count")
COLUMNS = ("customer", "amount", "extra", "exact", "small", "visits", "count", "country")


def layout(columns: tuple[str, ...], delimiter: str = ",") -> Layout:
    """The layout of a CSV of these columns."""
    return Layout("csv", False, delimiter, columns)


def parts(form: str, text: bytes) -> list[text_rows._Text]:
    """The records of a text, as a unit reads them: all of a block, and some amid it."""
    delimiter = b"," if form == "csv" else None
    found = records([text], delimiter)
    chosen = slice(None), slice(1, None), slice(1, -1)
    texts = [text_rows._Text(part, some) for part in found for some in chosen]
    return [text for text in texts if len(text)]


def by_row(form: str, part: text_rows._Text) -> Batch | None:
    """What the look at each row makes of them; None where it refuses some."""
    reader: Any = (
        text_rows._CsvReader(CONTRACT, layout(COLUMNS))
        if form == "csv"
        else text_rows._JsonlReader(CONTRACT)
    )
    batch, positions, broken = reader._careful(part)
    assert isinstance(batch, Batch)
    return None if broken or batch.refusals or len(positions) < len(part) else batch


def at_once(form: str, part: text_rows._Text) -> Batch | None:
    if form == "csv":
        return part.read_alike(partial(csv_batch, CONTRACT, COLUMNS, ","))
    return part.read_alike(partial(jsonl_batch, CONTRACT))


def agree(form: str, text: bytes) -> bool:
    """Rows read at once are as read one by one; whether they were read at once."""
    every = True
    for part in parts(form, text):
        found = at_once(form, part)
        if found is not None:
            same(found, by_row(form, part))
        every = every and found is not None
    return every


def same(found: Batch, expected: Batch | None) -> None:
    """Both are the same, to the bit."""
    assert expected is not None
    assert (found.rows, found.entities) == (expected.rows, expected.entities)
    assert found.columns.keys() == expected.columns.keys()
    for name, column in expected.columns.items():
        mine = found.columns[name]
        assert mine.dtype == column.dtype
        if column.dtype.kind == "O":
            assert mine.tolist() == column.tolist()
        else:
            assert mine.tobytes() == column.tobytes(), name


DIGITS = st.text("0123456789", min_size=1, max_size=20)
CELL = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-100, 100, width=32).map(repr),
    st.integers(-300, 300).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.tuples(st.sampled_from(["", "-"]), DIGITS, DIGITS).map(lambda p: f"{p[0]}{p[1]}.{p[2]}"),
    st.sampled_from(
        ["", "-", ".", "1.", ".5", "-.5", "01", "-01", "00", "+1", "1e5", "1E+3", "-1e-7", "1e999"]
    ),
    st.sampled_from(["-0", "-0.0", "0", "0.0", "--1", "1-", "1.2.3", "1..2", " 1", "1 ", "1_0"]),
    st.sampled_from(["nan", "NaN", "inf", "Infinity", "null", "true", "0x1", "٣", "1\x00", "1:2"]),
    st.sampled_from(["9007199254740992", "9007199254740993", "0.1234567890123456789", "65520"]),
    st.sampled_from(["1.00000005960464477", "1.000000059604644775", "16777217", '"1"', "[1]"]),
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
TEXTS = ("customer", "country")
ROW = st.fixed_dictionaries(dict.fromkeys((*NUMERIC, "extra"), CELL) | dict.fromkeys(TEXTS, TEXT))
PLAIN = st.one_of(
    st.floats(-1000, 1000, width=32).map(str),
    st.floats(-1, 1, width=16).map(str),
    st.integers(0, 255).map(str),
)
GOOD = st.fixed_dictionaries(
    dict.fromkeys(("amount", "exact", "small", "extra"), PLAIN)
    | {name: st.integers(0, 255).map(str) for name in ("visits", "count")}
    | {name: st.text("abcäß :,.", max_size=5) for name in ("customer", "country")}
)
ROWS = st.one_of(
    st.lists(GOOD, min_size=1, max_size=6),
    st.tuples(st.lists(GOOD, min_size=1, max_size=6), ROW).map(lambda p: [*p[0], p[1]]),
    st.lists(ROW, min_size=1, max_size=3),
)


def csv_text(rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([row[name] for name in COLUMNS] for row in rows)
    return out.getvalue().encode()


def jsonl_text(rows: list[dict[str, str]], spaces: bool = False) -> bytes:
    """Rows as JSON, their numbers as they are written."""
    colon, comma = (": ", ", ") if spaces else (":", ",")
    lines = []
    for row in rows:
        texts = {name: json.dumps(row[name], ensure_ascii=False) for name in TEXTS}
        fields = [f'"{name}"{colon}{texts.get(name, row[name])}' for name in COLUMNS]
        lines.append("{" + comma.join(fields) + "}\n")
    return "".join(lines).encode()


@settings(max_examples=300, deadline=None)
@given(ROWS)
def test_rows_of_csv_read_at_once_are_as_read_one_by_one(rows: list[dict[str, str]]) -> None:
    agree("csv", csv_text(rows))


@settings(max_examples=300, deadline=None)
@given(ROWS, st.booleans())
def test_rows_of_jsonl_read_at_once_are_as_read_one_by_one(
    rows: list[dict[str, str]], spaces: bool
) -> None:
    agree("jsonl", jsonl_text(rows, spaces))


@settings(max_examples=500, deadline=None)
@given(
    st.lists(GOOD, min_size=2, max_size=4),
    st.sampled_from(["csv", "jsonl"]),
    st.integers(0, 10_000),
    st.integers(0, 3),
    st.one_of(
        st.sampled_from([b"", *(bytes([c]) for c in b'{}[]":,\\ \r\n\t.-+eE01x\x00\xff')]),
        st.binary(max_size=3),
    ),
)
def test_text_that_was_tampered_with_is_never_read_in_another_way(
    rows: list[dict[str, str]], form: str, place: int, gone: int, put: bytes
) -> None:
    text = csv_text(rows) if form == "csv" else jsonl_text(rows)
    place %= len(text)
    agree(form, text[:place] + put + text[place + gone :])


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_rows_that_are_alike_are_read_at_once(form: str, newline: bytes) -> None:
    some = np.random.default_rng(3).normal(size=(40, 4))
    rows = [
        {
            "customer": f"c {number}",
            "country": "Österreich" if number % 3 else "",
            "amount": repr(float(row[0])),  # 17 digits: enough for the float32 that it becomes
            "extra": repr(float(row[1])),
            "exact": f"{row[2]:.6f}",
            "small": f"{row[3]:.2f}",
            "visits": str(1_700_000_000_000 + number),
            "count": str(number),
        }
        for number, row in enumerate(some)
    ]
    if form == "csv":
        rows = [{**row, "country": "de"} for row in rows]
    rows[7]["amount"] = "1.5e-05"
    text = csv_text(rows) if form == "csv" else jsonl_text(rows, spaces=True)
    text = text.replace(b"\n", newline)
    assert agree(form, text)
    assert agree(form, text.removesuffix(newline))


FLOATS = Contract(
    name="floats",
    version=1,
    task="regression",
    features=(
        Feature(name="a", dtype="float32"),
        Feature(name="b", dtype="float64"),
        Feature(name="c", dtype="float16"),
    ),
    inputs=(Input(name="a", dtype="float32", shape=(-1, 1)),),
    outputs=(Output(name="score", dtype="float32", shape=(-1,), meaning="score"),),
)
NUMBERS = st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=30)


@settings(max_examples=500, deadline=None)
@given(
    NUMBERS,
    st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", ".")]),
    st.integers(0, 10_000),
    st.one_of(CELL, st.sampled_from([",", ";", "\n", "\n\n", ",\n", "-0", "[", "1,2", "0,", ""])),
    st.integers(0, 3),
)
def test_rows_of_floats_alone_are_as_read_one_by_one(
    rows: list[tuple[str, ...]], kind: tuple[str, str], place: int, put: str, gone: int
) -> None:
    delimiter, decimal = kind
    contract = dataclasses.replace(FLOATS, decimal="," if decimal == "," else ".")
    text = "".join(delimiter.join(row).replace(".", decimal) + "\n" for row in rows).encode()
    reader: Any = text_rows._CsvReader(contract, layout(("a", "b", "c"), delimiter))
    place %= len(text)
    for some in (text, text[:place] + put.encode() + text[place + gone :]):
        for part in records([some], delimiter.encode()):
            chosen = text_rows._Text(part, slice(None))
            found = chosen.read_alike(partial(csv_batch, contract, ("a", "b", "c"), delimiter))
            if some is text:
                assert found is not None
            if found is not None:
                batch, positions, broken = reader._careful(chosen)
                assert (len(positions), broken, batch.refusals) == (len(chosen), [], [])
                same(found, batch)


def test_numbers_are_what_float_reads() -> None:
    random = np.random.default_rng(5)
    texts = [f"{value:.{places}f}" for value, places in zip(random.normal(size=20_000).tolist(),
             random.integers(0, 15, 20_000).tolist(), strict=True)]  # fmt: skip
    texts += [repr(value) for value in np.round(random.normal(size=5_000) * 1e4, 3).tolist()]
    texts += [str(value) for value in random.integers(-(2**63), 2**63, 5_000).tolist()]
    texts += [repr(value) for value in random.normal(size=5_000).tolist()]
    read = numbers(f"[{','.join(texts)}]".encode(), len(texts), 1)
    assert read is not None
    exact = [0.0 if text == "-0" else float(text) for text in texts]
    assert read[:, 0].tobytes() == np.array(exact).tobytes()


def test_files_of_other_fields_follow_each_other_in_one_thread() -> None:
    """The template of one JSONL is not taken for another's."""
    good = {"customer": "c", "country": "de", "visits": "1", "count": "2"}
    rows = [{**good, "amount": "1.5", "extra": "2", "exact": "3", "small": "4"}]
    for spaces in (False, True, False):
        assert agree("jsonl", jsonl_text(rows * 3, spaces))
    turned = jsonl_text(rows * 3).replace(b"amount", b"exact_").replace(b'exact"', b'amount"')
    agree("jsonl", turned.replace(b"exact_", b"exact"))
