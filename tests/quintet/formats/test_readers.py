"""Bad rows are refused alone, whole and with their reasons; good ones score as they do online."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from arro3 import core
from arro3 import io as arrow_io
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.batch import (
    CONTRACT,
    KINDS,
    MODEL,
    Bench,
    BytesSource,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
    without_rows,
)
from tests.kits.forms import contract_of, read_file

from quintet.batch.plans import Plan, RunPaths
from quintet.batch.stores import PinnedSource
from quintet.columns import from_records
from quintet.contract import Feature
from quintet.formats import byte_streams, chunks, parquet_rows, readers
from quintet.formats.inspection import inspect
from quintet.formats.kinds import HEAD
from quintet.formats.parquet import read_footer
from quintet.formats.projection import project
from quintet.formats.sources import Slice
from quintet.scoring import score

ROWS = [row(number) for number in range(60)]
HEADER = b"customer,amount,visits,country,rate\n"


def run(key: str, body: bytes, unit_bytes: int = 700) -> tuple[Bench, RunPaths]:
    """A file planned and scored; every row of it must have ended somewhere."""
    bench = Bench()
    plan = bench.plan(key, body, unit_bytes)
    assert isinstance(plan, Plan), plan
    results = bench.score(plan)
    assert [r["status"] for r in results] == ["done"] * plan.units, results
    assert [r["scored"] + r["quarantined"] for r in results] == [r["rows"] for r in results]
    ended = [r["row"] for r in bench.scores(plan.folder) + bench.quarantine(plan.folder)]
    assert sorted(ended) == list(range(plan.rows))
    return bench, plan.folder


def online(rows: list[Any]) -> dict[int, dict[str, Any]]:
    """What the online path's own core gives for the records."""
    found = score(MODEL, from_records(CONTRACT, rows))
    parts = found.outputs["parts"].tolist()
    return {
        int(position): {
            "row": int(position),
            "customer": rows[position]["customer"],
            "score": found.outputs["score"].tolist()[i],
            "parts_amount": parts[i][0],
            "parts_visits": parts[i][1],
            "country_seen": found.outputs["country_seen"].tolist()[i][0],
            "model_version": 3,
        }
        for i, position in enumerate(found.index.tolist())
    }


def close(found: list[dict[str, Any]], expected: dict[int, dict[str, Any]]) -> None:
    """Whole rows are equal, scores within 1e-6: the batches were of other sizes."""
    assert [r["row"] for r in found] == sorted(expected)
    for one in found:
        other = expected[one["row"]]
        assert one["score"] == pytest.approx(other["score"], abs=1e-6)
        assert {**one, "score": 0} == {**other, "score": 0}


@pytest.mark.parametrize("unit_bytes", [100, 700, 1 << 20])
@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("tiny/a.csv", csv_bytes(ROWS)),
        ("tiny/a.csv", csv_bytes(ROWS, "\r\n")),
        ("tiny/a.csv.gz", gzip.compress(HEADER) + gzip.compress(csv_bytes(ROWS)[len(HEADER) :])),
        ("tiny/a.jsonl", jsonl_bytes(ROWS)),
        ("tiny/a.jsonl", b"\xef\xbb\xbf" + jsonl_bytes(ROWS)),
        ("tiny/a.jsonl.gz", gzip.compress(jsonl_bytes(ROWS))),
        ("tiny/a.parquet", parquet_bytes(ROWS, 7)),
        ("tiny/a.parquet", parquet_bytes(ROWS, 1000)),
    ],
)  # fmt: skip
def test_every_format_scores_as_the_online_core_does(
    key: str, body: bytes, unit_bytes: int
) -> None:
    bench, folder = run(key, body, unit_bytes)
    close(bench.scores(folder), online(ROWS))
    assert bench.quarantine(folder) == []


BAD_CELLS = [
    ("1e999", "amount", "a number from -1000 to 1000", "inf"),
    ("inf", "amount", "a number from -1000 to 1000", "inf"),
    ("1001", "amount", "a number from -1000 to 1000", "1001.0"),
    ("one", "amount", "a number (float32)", "'one'"),
    ("1_0", "amount", "a number (float32)", "'1_0'"),
    ("", "amount", "a number (float32)", "nothing"),
    ("-1", "visits", "a number of at least 0", "-1"),
    ("1.5", "visits", "a number (int64)", "'1.5'"),
    ("9" * 40, "visits", "a number (int64)", "'" + "9" * 40 + "'"),
    ("xx", "country", "one of de, fr", "'xx'"),
    ("", "country", "a string", "nothing"),
]


@pytest.mark.parametrize(("cell", "field", "expected", "got"), BAD_CELLS)
def test_a_bad_cell_refuses_its_row_alone(cell: str, field: str, expected: str, got: str) -> None:
    rows = [dict(r) for r in ROWS]
    rows[17][field] = cell
    bench, folder = run("tiny/a.csv", csv_bytes(rows))
    assert bench.quarantine(folder) == [
        {
            "row": 17,
            "text": csv_bytes(rows).decode().splitlines()[18],
            "reasons": [{"field": field, "expected": expected, "got": got}],
        }
    ]
    close(bench.scores(folder), {n: r for n, r in online(ROWS).items() if n != 17})


def test_ragged_rows_and_what_is_no_text_are_kept_whole() -> None:
    body = HEADER + b"".join(
        [
            b"a,1,1,de,0.5\n",
            b"b,1,1\n",
            b"c,1,1,de,0.5,more\n",
            b"\xff\xfe,1,1,de,0.5\n",
            b"d,1,1,de\r,0.5\n",
            b'"e\n\nf",1,1,fr,0.5\n',
            b"\n",
            b'g,1,1,"de',
        ]
    )
    bench, folder = run("tiny/a.csv", body, 30)
    assert [r["customer"] for r in bench.scores(folder)] == ["a", "e\n\nf"]
    refusal = {"field": "row", "expected": "5 cells"}
    assert bench.quarantine(folder) == [
        {"row": 1, "text": "b,1,1", "reasons": [{**refusal, "got": "3"}]},
        {"row": 2, "text": "c,1,1,de,0.5,more", "reasons": [{**refusal, "got": "6"}]},
        {
            "row": 3,
            "text": "ÿþ,1,1,de,0.5",
            "encoding": "latin-1",
            "reasons": [{"field": "row", "expected": "text in UTF-8", "got": "another encoding"}],
        },
        {
            "row": 4,
            "text": "d,1,1,de\r,0.5",
            "reasons": [
                {
                    "field": "row",
                    "expected": "a row of CSV",
                    "got": "a carriage return outside quotes",
                }
            ],
        },
        {
            "row": 6,
            "text": 'g,1,1,"de',
            "reasons": [
                {
                    "field": "row",
                    "expected": "a row of CSV",
                    "got": "a quote that is never closed, on line 11",
                }
            ],
        },
    ]


OPEN = "a quote that is never closed, on line 5"
BEHIND = "text behind a closing quote, on line 5"


@pytest.mark.parametrize("key", ["tiny/a.csv", "tiny/a.csv.gz", "tiny/a.jsonl", "tiny/a.jsonl.gz"])
@pytest.mark.parametrize("size", [(1 << 20) + 9, (1 << 24) + (1 << 22)])
def test_a_record_over_a_mebibyte_is_refused_alone(key: str, size: int) -> None:
    write = csv_bytes if ".csv" in key else jsonl_bytes
    lines = write(ROWS[:6]).splitlines(keepends=True)
    at = len(lines) - 3
    lines[at] = write([row(3, country="d" * size)]).splitlines(keepends=True)[-1]
    body = b"".join(lines)
    what = "a row of CSV" if ".csv" in key else "a JSON object"
    got = f"{len(lines[at]):,} bytes"
    kept = lines[at].rstrip(b"\n")[: 1 << 24]
    if size > 1 << 24:
        got += ", of which the first 16,777,216 are kept"
    bench, folder = run(key, gzip.compress(body) if key.endswith(".gz") else body, 1 << 20)
    (refused,) = bench.quarantine(folder)
    assert refused == {
        "row": 3,
        "text": kept.decode(),
        "reasons": [{"field": "row", "expected": f"{what} of at most 1,048,576 bytes", "got": got}],
    }
    good = [one for number, one in enumerate(ROWS[:6]) if number != 3]
    rows = [0, 1, 2, 4, 5]
    expected = {row: {**online(good)[place], "row": row} for place, row in enumerate(rows)}
    close(bench.scores(folder), expected)


@pytest.mark.parametrize("key", ["tiny/a.csv", "tiny/a.csv.gz"])
@pytest.mark.parametrize("unit_bytes", [60, 1 << 20])
@pytest.mark.parametrize(
    ("stray", "later", "got"),
    [
        ('"c3,1,1,de,0.5', "", [OPEN]),
        ('c3,1,1,"de,0.5', "", [OPEN]),
        ('c3,1,1,"de"x,0.5', "", [BEHIND]),
        ('c3,1,1,"de,0.5', 'c9,1,1,"de,0.5', [OPEN, OPEN.replace("5", "11")]),
        ('"c3,1,1,de,0.5', '"c9"x,1,1,de,0.5', [OPEN, BEHIND.replace("5", "11")]),
    ],
)
def test_a_stray_quote_refuses_its_own_line_alone(
    key: str, unit_bytes: int, stray: str, later: str, got: list[str]
) -> None:
    lines = csv_bytes([row(number) for number in range(12)]).decode().splitlines()
    lines[4] = stray
    if later:
        lines[10] = later
    body = "\n".join(lines).encode()
    bench, folder = run(key, gzip.compress(body) if key.endswith("gz") else body, unit_bytes)
    bad = [3, 9][: len(got)]
    assert [r["row"] for r in bench.scores(folder)] == [n for n in range(12) if n not in bad]
    quarantined = bench.quarantine(folder)
    assert [(r["row"], r["text"]) for r in quarantined] == [(n, lines[n + 1]) for n in bad]
    assert [r["reasons"][0]["got"] for r in quarantined] == got


def test_a_return_at_the_start_of_a_row_ends_no_row_before_it() -> None:
    bench, folder = run("tiny/a.csv", HEADER + b"\ra,1,1,de,0.5\n")
    expected, got = "a row of CSV", "a carriage return outside quotes"
    reasons = [{"field": "row", "expected": expected, "got": got}]
    assert bench.scores(folder) == []
    assert bench.quarantine(folder) == [{"row": 0, "text": "\ra,1,1,de,0.5", "reasons": reasons}]


def test_a_byte_order_mark_amid_a_file_belongs_to_its_row() -> None:
    body = HEADER + '\ufeffa,1,1,de,0.5\n"b",1,1,de,0.5\n'.encode()
    bench, folder = run("tiny/a.csv", body)
    assert [r["customer"] for r in bench.scores(folder)] == ["\ufeffa", "b"]


NINE = orjson.dumps(row(9))
NO_JSON = "text that is not JSON"
BEYOND = "JSON with a number out of range, or nested too deep"

BAD_LINES: list[tuple[bytes, str, str, str]] = [
    (b"{", "row", "a JSON object", NO_JSON),
    (b"   ", "row", "a JSON object", NO_JSON),
    (b"1 2", "row", "a JSON object", NO_JSON),
    (b'{"amount": NaN}', "row", "a JSON object", NO_JSON),
    (b'{"customer": "\xff"}', "row", "a JSON object", "text that is not UTF-8"),
    (b"[" * 5000 + b"]" * 5000, "row", "a JSON object", BEYOND),
    (NINE.replace(b"2.25", b"1e999"), "row", "a JSON object", BEYOND),
    (NINE.replace(b"2.25", b"9" * 5000), "row", "a JSON object", NO_JSON),
    (b"[1]", "record", "an object", "[1]"),
    (b'"text"', "record", "an object", "'text'"),
    (NINE.replace(b'"rate"', b'"visits"'), "visits", "the field once", "it twice"),
    (orjson.dumps(row(9, amount="2")), "amount", "a number (float32)", "'2'"),
    (orjson.dumps(row(9, visits=2.5)), "visits", "a number (int64)", "2.5"),
    (orjson.dumps(row(9, visits=None)), "visits", "a number (int64)", "nothing"),
    (orjson.dumps(row(9, country="xx")), "country", "one of de, fr", "'xx'"),
]


@pytest.mark.parametrize(("line", "field", "expected", "got"), BAD_LINES)
def test_a_bad_line_of_jsonl_refuses_its_row_alone(
    line: bytes, field: str, expected: str, got: str
) -> None:
    lines = jsonl_bytes(ROWS).splitlines()
    lines[17] = line
    bench, folder = run("tiny/a.jsonl", b"\n\n".join(lines))
    (found,) = bench.quarantine(folder)
    assert found["text"].encode(found.get("encoding", "utf-8")) == line
    assert (found["row"], found["reasons"][0]) == (
        17,
        {"field": field, "expected": expected, "got": got},
    )
    close(bench.scores(folder), {n: r for n, r in online(ROWS).items() if n != 17})


def test_a_byte_of_0_in_a_row_ends_no_process() -> None:
    # arro3 quotes the row of a bad number in its error, and a text of C ends at the 0
    body = csv_bytes([row(0, customer="c" * HEAD), row(1, amount="x", customer="\0")])
    bench, folder = run("tiny/a.csv", body)
    reason = {"field": "amount", "expected": "a number (float32)", "got": "'x'"}
    text = body.splitlines()[2].decode()
    assert bench.quarantine(folder) == [{"row": 1, "text": text, "reasons": [reason]}]
    assert [r["row"] for r in bench.scores(folder)] == [0]


def test_colons_in_texts_are_no_fields() -> None:
    rows = [row(n, customer=f'c:"{n}":') for n in range(5)]
    bench, folder = run("tiny/a.jsonl", jsonl_bytes(rows))
    assert [r["customer"] for r in bench.scores(folder)] == [r["customer"] for r in rows]


def test_bad_values_of_parquet_refuse_their_rows_with_the_record() -> None:
    rows = [dict(r) for r in ROWS]
    rows[3]["amount"] = float("inf")
    rows[20]["amount"] = float("nan")
    rows[40]["country"] = None
    rows[41]["rate"] = None  # has a default
    kinds = {**KINDS, "when": core.DataType.timestamp("ms")}
    bench, folder = run("tiny/a.parquet", parquet_bytes(rows, 9, kinds))
    inf = {"field": "amount", "expected": "a number from -1000 to 1000", "got": "inf"}
    gap = {"field": "amount", "expected": "a number (float32)", "got": "nothing"}
    text = {"field": "country", "expected": "a string", "got": "nothing"}
    assert bench.quarantine(folder) == [
        {"row": 3, "record": {**rows[3], "amount": None, "when": None}, "reasons": [inf]},
        {"row": 20, "record": {**rows[20], "amount": None, "when": None}, "reasons": [gap]},
        {"row": 40, "record": {**rows[40], "when": None}, "reasons": [text]},
    ]
    assert len(bench.scores(folder)) == 57


def spoilt_text(body: bytes, word: bytes) -> bytes:
    """A file some of whose texts are not UTF-8."""
    assert word in body
    return body.replace(word, b"\xff" * len(word))


@pytest.mark.parametrize("unit_bytes", [1, 1 << 20])
def test_columns_that_the_model_does_not_take_may_be_damaged(unit_bytes: int) -> None:
    rows = [row(n, amount=None if n == 5 else n * 0.25, note="damaged") for n in range(9)]
    kinds = {"before": core.DataType.int64(), **KINDS, "note": core.DataType.string()}
    body = spoilt_text(parquet_bytes(rows, 3, kinds), b"damaged")
    bench, folder = run("tiny/a.parquet", body, unit_bytes)
    good = [r for n, r in enumerate(rows) if n != 5]
    assert [r["customer"] for r in bench.scores(folder)] == [r["customer"] for r in good]
    (line,) = bench.quarantine(folder)  # what can be read of it
    assert line["record"] == {name: rows[5][name] for name in KINDS}


@pytest.mark.parametrize("unit_bytes", [1, 1 << 20])
def test_a_refused_row_is_kept_with_columns_that_are_not_read_else(unit_bytes: int) -> None:
    rows = [row(n, country="xx" if n in (1, 4, 7) else "de", note=f"n{n}") for n in range(9)]
    text = core.DataType.string()
    body = parquet_bytes(rows, 4, {"first": text, **KINDS, "note": text, "last": text})
    bench, folder = run("tiny/a.parquet", body, unit_bytes)
    records = [line["record"] for line in bench.quarantine(folder)]
    assert records == [{"first": None, **rows[n], "last": None} for n in (1, 4, 7)]
    assert [r["row"] for r in bench.scores(folder)] == [0, 2, 3, 5, 6, 8]


@pytest.mark.parametrize("kept", [["country"], ["amount", "rate"], ["customer", "country"]])
def test_a_projection_has_some_columns_as_they_are(kept: list[str]) -> None:
    rows = [row(n, country=f"c{n % 3}") for n in range(30)]
    numbers = core.Array(list(range(60)), core.DataType.int64())
    lists = core.list_array(core.Array(list(range(0, 61, 2)), core.DataType.int32()), numbers)
    body = parquet_bytes(rows, 10, {"some": lists.type, **KINDS}, some=lists)
    source = BytesSource(body)
    footer = read_footer(source)
    whole = arrow_io.read_parquet(io.BytesIO(body)).read_all()
    part = project(footer, 1, 3, kept)
    assert all(a.width < b.width for a, b in zip(part.groups, footer.groups[1:], strict=True))
    with byte_streams.parquet_file(source, footer, part) as view:
        found = arrow_io.read_parquet(view).read_all()
    assert list(found.schema.names) == kept
    for name in kept:
        assert found.column(name).to_pylist() == whole.column(name).to_pylist()[10:]


def test_row_groups_that_have_been_read_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_streams, "STEP", 1 << 16)
    monkeypatch.setattr(parquet_rows, "CHUNK_ROWS", 100)
    vector = Feature(name="x", dtype="float64", shape=(1000,))
    contract = replace(CONTRACT, entity=None, features=(vector,))
    values = np.random.default_rng(0).random((1500, 1000))
    rows = core.Array.from_numpy(values.reshape(-1))
    table = core.Table.from_pydict({"x": core.fixed_size_list_array(rows, 1000)})
    out = io.BytesIO()
    arrow_io.write_parquet(table, out, max_row_group_size=50)
    source = BytesSource(out.getvalue())
    layout = inspect(contract, source, "a.parquet").layout
    read, most = 0, 0
    tracemalloc.start()
    try:
        for piece in readers.read_slice(contract, source, layout, Slice(0, 30, 0, 1500), 1500):
            chunk = piece()
            end = read + chunk.size
            np.testing.assert_array_equal(chunk.batch.columns["x"], values[read:end])
            read = end
            del chunk
            most = max(most, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert (read, source.size > 11_000_000) == (1500, True)
    assert most < 4_000_000


def test_ten_thousand_columns_that_nobody_takes_cost_little() -> None:
    rows = [row(n) for n in range(3)]
    kinds = {f"x{n}": core.DataType.int64() for n in range(10_000)}
    none = core.Array([1, 2, 3], core.DataType.int64())
    body = parquet_bytes(rows, 3, {**KINDS, **kinds}, **dict.fromkeys(kinds, none))
    part = project(read_footer(BytesSource(body)), 0, 1, list(KINDS))
    assert len(part.tail) < 2000
    bench, folder = run("tiny/a.parquet", body)
    close(bench.scores(folder), online(rows))


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_row_groups_without_rows_are_skipped(empty: int) -> None:
    body = without_rows(parquet_bytes(ROWS[:9], 3), empty)
    bench, folder = run("tiny/a.parquet", body, 1)
    kept = [r for n, r in enumerate(ROWS[:9]) if n // 3 != empty]
    close(bench.scores(folder), online(kept))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (core.DataType.timestamp("us"), 253402300800000000, "+10000-01-01T00:00:00"),
        (core.DataType.date32(), 2932897, "+10000-01-01"),
    ],
)
def test_a_refused_row_is_written_whatever_its_other_columns_hold(
    kind: core.DataType, value: int, text: str
) -> None:
    rows = [row(n, amount=None if n == 3 else n, until=value) for n in range(6)]
    whole = core.DataType.int32() if "Date32" in str(kind) else core.DataType.int64()
    until = core.Array([value] * 6, whole).cast(kind)
    body = parquet_bytes(rows, 4, {**KINDS, "until": kind}, until=until)
    bench, folder = run("tiny/a.parquet", body)
    (line,) = bench.quarantine(folder)
    assert line["record"] == {**rows[3], "until": text}


@pytest.mark.parametrize(
    "kind",
    [
        core.DataType.int8(),
        core.DataType.uint16(),
        core.DataType.float64(),
        core.DataType.decimal128(10, 2),
        core.DataType.string(),
        core.DataType.large_utf8(),
    ],
    ids=str,
)
def test_columns_of_kin_types_are_read_with_their_gaps(kind: core.DataType) -> None:
    rows = [row(n, amount=n % 5, visits=n % 7) for n in range(30)]
    text = "utf8" in str(kind).lower()
    given_rows = [{**r, "visits": str(r["visits"]) if text else r["visits"]} for r in rows]
    given_rows[4] = {**given_rows[4], "visits": None}
    body = parquet_bytes(given_rows, 10, {**KINDS, "visits": kind})
    bench, folder = run("tiny/a.parquet", body)
    close(bench.scores(folder), {n: r for n, r in online(rows).items() if n != 4})
    assert [r["row"] for r in bench.quarantine(folder)] == [4]


CELL = st.one_of(
    st.sampled_from(
        ["", " 1", "+1", "1.", ".5", "1e3", "nan", "NaN", "inf", "1e999", "0x1", "1_0"]
    ),
    st.sampled_from(["9007199254740993", "2.0", "true", "-0", "٣", '"1"', "1d", "1\r"]),
    st.floats(-10, 10).map(str),
    st.integers(-3, 10).map(str),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, st.sampled_from(["de", "fr", "x", ""])), min_size=1, max_size=8)
)
def test_what_a_cell_means_does_not_depend_on_its_neighbours(
    rows: list[tuple[str, str, str]],
) -> None:
    """A chunk read at once, and each of its rows in a file of its own, come to the same."""

    def text(some: list[tuple[str, str, str]]) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([f"c{i}", *cells, "0.5"] for i, cells in enumerate(some))
        return HEADER + out.getvalue().encode()

    together, folder = run("tiny/a.csv", text(rows), 1 << 20)
    scored = {r["row"]: r for r in together.scores(folder)}
    refused = {r["row"]: r["reasons"] for r in together.quarantine(folder)}
    for number, cells in enumerate(rows):
        alone, single = run("tiny/a.csv", text([cells]))
        assert [r["reasons"] for r in alone.quarantine(single)] == (
            [refused[number]] if number in refused else []
        )
        for one in alone.scores(single):
            assert {**one, "row": number, "customer": f"c{number}"} == scored[number]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4000), st.integers(1, 40))
def test_any_target_size_gives_the_same_rows(unit_bytes: int, count: int) -> None:
    rows = [row(n, customer=f'c"{n}"\nof,{n}') for n in range(count)]
    bench, folder = run("tiny/a.csv", csv_bytes(rows, "\r\n"), unit_bytes)
    close(bench.scores(folder), online(rows))


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_row_groups_are_read_from_memory_and_from_disk_alike(
    monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(byte_streams, "STEP", 100)
    monkeypatch.setattr(byte_streams, "IN_MEMORY", in_memory)
    bench, folder = run("tiny/a.parquet", parquet_bytes(ROWS, 7))
    close(bench.scores(folder), online(ROWS))


def test_chunks_hold_the_rows_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parquet_rows, chunks):
        monkeypatch.setattr(module, "CHUNK_ROWS", 16)
    for key, body, sizes in (
        ("tiny/a.csv", csv_bytes(ROWS), [15, 15, 15, 15]),
        ("tiny/a.parquet", parquet_bytes(ROWS), [16, 16, 16, 12]),
    ):
        found = read(key, body)
        assert [chunk.size for chunk in found] == sizes
        assert [chunk.first for chunk in found] == [sum(sizes[:n]) for n in range(4)]
        assert np.concatenate([chunk.rows for chunk in found]).tolist() == list(range(60))


def test_chunks_become_smaller_towards_the_end_of_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parquet_rows, chunks):
        monkeypatch.setattr(module, "CHUNK_ROWS", 16)
    monkeypatch.setattr(chunks, "MIN_CHUNK_ROWS", 2)
    monkeypatch.setattr(byte_streams, "STEP", 600)  # some 30 rows of CSV
    for key, body, sizes in (
        ("tiny/a.csv", csv_bytes(ROWS), [11, 11, 11, 5, 5, 6, 5, 6]),
        ("tiny/a.parquet", parquet_bytes(ROWS), [8, 8, 8, 8, 5, 5, 6, 3, 3, 3, 3]),
    ):
        found = read(key, body)
        assert [chunk.size for chunk in found] == sizes
        assert np.concatenate([chunk.rows for chunk in found]).tolist() == list(range(60))


def read(key: str, body: bytes) -> list[chunks.Chunk]:
    """The chunks of a file that is one unit."""
    bench = Bench()
    plan = bench.plan(key, body)
    assert isinstance(plan, Plan)
    (unit,) = bench.units(plan)
    source = PinnedSource(bench.inbox, plan.input)
    part = Slice(unit.start, unit.end, unit.first_row, unit.rows)
    pieces = readers.read_slice(CONTRACT, source, plan.layout, part, unit.rows)
    return [piece() for piece in pieces]


def test_chunks_of_wide_rows_hold_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "CHUNK_BYTES", 100_000)
    rows = [row(n, country="x" * 10_000) for n in range(60)]
    body = parquet_bytes(rows)
    sizes = [chunk.size for chunk in read("tiny/a.parquet", body)]
    assert max(sizes) < 10 and sum(sizes) == 60


def test_a_record_too_long_for_jsonl_is_pointed_to_parquet() -> None:
    image = contract_of(Feature(name="image", dtype="uint8", shape=(700, 700)))
    line = b'{"image": [' + b"[%s]," % b",".join([b"100"] * 700) * 699 + b"[" + b"]]}\n"
    (refusal,) = read_file(image, "a.jsonl", line).refusals
    assert refusal.expected == (
        "a JSON object of at most 1,048,576 bytes (use Parquet for larger ones, such as images)"
    )
