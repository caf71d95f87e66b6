"""Quarantined rows as a file again: the same rows, refused for the same reasons, none changed."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import orjson
import pytest
from arro3 import core
from arro3 import io as arrow_io
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kits.batch import KINDS, Bench, csv_bytes, jsonl_bytes, parquet_bytes, row

from quintet.batch.plans import Plan, RunPaths
from quintet.errors import BadInput
from quintet.formats.kinds import HEAD
from quintet.formats.quarantined import Quarantined
from quintet.replay.row_files import Rebuilder


def scored(bench: Bench, key: str, body: bytes) -> RunPaths:
    plan = bench.plan(key, body)
    bench.score(plan)
    return plan.folder


def plan_of(bench: Bench, key: str, body: bytes) -> Plan:
    plan = bench.plan(key, body)
    assert isinstance(plan, Plan), plan
    bench.score(plan)
    return plan


def rebuilt(bench: Bench, plan: Plan) -> tuple[list[dict[str, Any]], bytes]:
    """The quarantined rows that a file may hold, and that file."""
    rebuilder = Rebuilder(plan, bench.inbox)
    lines = [line for line in bench.quarantine(plan.folder) if rebuilder.takes(text_of(line))]
    return lines, rebuilder.file((line["row"], text_of(line)) for line in lines) if lines else b""


def text_of(line: dict[str, Any]) -> bytes | None:
    """The bytes of a quarantined row; None for one of Parquet."""
    original = Quarantined.from_line(orjson.dumps(line)).original
    return original if isinstance(original, bytes) else None


def content(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and what was refused of them.

    Without their numbers, which are those of the file they stand in; and without what was seen,
    since a quote left open takes in its line's end, which a quarantine does not keep.
    """
    return [
        {
            **{name: value for name, value in line.items() if name != "row"},
            "reasons": [(reason["field"], reason["expected"]) for reason in line["reasons"]],
        }
        for line in lines
    ]


BYTES = st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"").replace(b"\r", b""))
CELLS = st.one_of(
    BYTES, st.sampled_from([b'"a\nb"', b'"a;""b"', b"1", b"fr", b"\xff", b"\0", b'"'])
)
LINES = st.one_of(
    st.lists(CELLS, min_size=1, max_size=6).map(b";".join),
    st.sampled_from([b"c1;1;1;xx;0.5", b"c1;1;1;de;0.5", b'"open;1;1;xx;0.5', b"PAR1", b"[1]"]),
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=8), st.sampled_from([b"\n", b"\r\n"]))
@example([b';;;;"'], b"\r\n")
@example([b'"open', b"c1;1;1;xx;0.5"], b"\n")
@example([b'c1;1;1;"x\r\nx";0.5', b"\xff\xfe", b"c1;1;1;xx;0.5"], b"\r\n")
def test_rows_of_csv_are_the_same_rows_again(lines: list[bytes], newline: bytes) -> None:
    head = b"customer;amount;visits;country;rate"
    # the bytes of 0 that refuse a whole file stand behind what is looked at of its beginning
    good = b"c" * HEAD + b";1;1;de;0.5"
    body = newline.join([head, good, *lines, b""])
    bench = Bench()
    found, again = rebuilt(bench, plan_of(bench, "tiny/a.csv", body))
    if found:
        assert again.startswith(head + b"\n")
        replayed = scored(bench, "tiny/again.csv", again)
        assert (content(bench.quarantine(replayed)), bench.scores(replayed)) == (content(found), [])


JSON_LINES = st.one_of(
    BYTES,
    st.sampled_from([b'{"customer": 1}', b"[1]", b"{", b"PAR1", b"\x1f\x8b\x08", b"\xff\xfe"]),
)


@settings(deadline=None)
@given(st.lists(JSON_LINES, max_size=8))
@example([b"[1]", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"nothing"])
@example([b"\xef\xbb\xbf{}", b"\xef\xbb\xbf"])
@example([b"null"])
def test_rows_of_jsonl_are_the_same_rows_again(lines: list[bytes]) -> None:
    bench = Bench()
    body = jsonl_bytes([row(1, customer="c" * HEAD)]) + b"\n".join(lines)
    found, again = rebuilt(bench, plan_of(bench, "tiny/a.jsonl", body))
    if found:
        replayed = scored(bench, "tiny/again.jsonl", again)
        assert (content(bench.quarantine(replayed)), bench.scores(replayed)) == (content(found), [])


@pytest.mark.parametrize(
    ("key", "newline", "delimiter"),
    [("tiny/a.csv", "\r\n", ";"), ("tiny/a.tsv", "\n", "\t"), ("tiny/a.csv", "\n", "|")],
)
def test_a_file_has_the_runs_header_and_delimiter(key: str, newline: str, delimiter: str) -> None:
    rows = [{"a, b;|\tc": "x", **row(n, country="de" if n else "xx")} for n in range(3)]
    body = csv_bytes(rows, newline).decode()
    table = [line for line in body.split(newline) if line]
    text = newline.join(
        ['"a, b;|\tc"' + line[len('"a, b;|\tc"') :].replace(",", delimiter) for line in table[:1]]
        + [line.replace(",", delimiter) for line in table[1:]]
    )
    bench = Bench()
    _, again = rebuilt(bench, plan_of(bench, key, text.encode()))
    head, refused = text.split(newline)[:2]
    assert again == f"{head}\n{refused}\n".encode()


def test_rows_of_a_gzip_go_back_unpacked() -> None:
    import gzip

    bench = Bench()
    body = csv_bytes([row(1), row(2, country="xx")])
    _, again = rebuilt(bench, plan_of(bench, "tiny/a.csv.gz", gzip.compress(body)))
    assert again == csv_bytes([row(2, country="xx")])


def test_rows_of_parquet_keep_their_types() -> None:
    rows = [row(n, visits=n * 100) for n in range(60)]
    for number in (3, 4, 41, 59):
        rows[number]["country"] = "xx"
    rows[20]["amount"] = float("inf")  # JSON has no word for it
    rows[21]["amount"] = None
    decimal = core.DataType.decimal128(10, 2)
    kinds = {**KINDS, "visits": decimal, "when": core.DataType.timestamp("ms")}
    bench = Bench()
    plan = plan_of(bench, "tiny/a.parquet", parquet_bytes(rows, 9, kinds))
    found, again = rebuilt(bench, plan)
    table = arrow_io.read_parquet(io.BytesIO(again)).read_all()
    assert {name: table.schema.field(name).type for name in table.schema.names} == kinds
    numbers = [3, 4, 20, 21, 41, 59]
    assert table.column("visits").to_pylist() == [Decimal(n * 100) for n in numbers]
    assert table.column("amount").to_pylist() == [rows[n]["amount"] for n in numbers]
    replayed = scored(bench, "tiny/again.parquet", again)
    assert content(bench.quarantine(replayed)) == content(found)


def test_rows_of_a_parquet_file_that_is_gone_cannot_go_back() -> None:
    bench = Bench()
    body = parquet_bytes([row(1, country="xx")])
    plan = plan_of(bench, "tiny/a.parquet", body)
    bench.inbox.versions.clear()
    with pytest.raises(BadInput, match=r"another; it was deleted or overwritten"):
        rebuilt(bench, plan)
