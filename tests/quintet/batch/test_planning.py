"""What a plan pins, cuts and refuses."""

from __future__ import annotations

import gzip

import orjson
import pytest
from arro3 import core
from tests.kits.batch import (
    BUCKET,
    CONTRACT,
    KINDS,
    STARTED,
    Bench,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
    without_rows,
)

from quintet import __version__
from quintet.batch.planning import MemoryCatalog, Pinned, contract_digest
from quintet.batch.plans import Plan, RefusedPlan, Snapshot, run_name, slug
from quintet.errors import BadInput
from quintet.formats.kinds import detect

ROWS = [row(number) for number in range(40)]
GOOD = csv_bytes(ROWS)


def planned(
    bench: Bench, key: str, body: bytes, unit_bytes: int = 1 << 20, output: str = ""
) -> Plan:
    plan = bench.plan(key, body, unit_bytes, output)
    assert isinstance(plan, Plan), plan
    return plan


def refused(body: bytes, key: str = "tiny/file.csv", output: str = "") -> tuple[str, ...]:
    bench = Bench()
    plan = bench.plan(key, body, output=output)
    assert isinstance(plan, RefusedPlan), plan
    # nothing but the plan is written, and it says what was refused
    assert list(bench.store.objects) == [plan.folder.plan]
    assert orjson.loads(bench.store.objects[plan.folder.plan])["refusals"] == list(plan.refusals)
    return plan.refusals


def test_a_plan_pins_the_model_and_the_input() -> None:
    bench = Bench()
    plan = planned(bench, "tiny/orders.csv", GOOD, 500)
    assert plan == Plan(
        run=run_name(BUCKET, "tiny/orders.csv", "v1"),
        model="tiny",
        version=3,
        digest="d" * 64,
        seal="s" * 64,
        contract=contract_digest(CONTRACT),
        started=STARTED,
        code=__version__,
        input=Snapshot(
            bucket=BUCKET,
            key="tiny/orders.csv",
            version_id="v1",
            etag=plan.input.etag,
            size=len(GOOD),
        ),
        format="csv",
        gzip=False,
        delimiter=",",
        columns=("customer", "amount", "visits", "country", "rate"),
        ignored=(),
        output="parquet",
        rows=40,
        units=2,
        documents=plan.documents,
    )
    units = bench.units(plan)
    header = GOOD.index(b"\n") + 1
    assert [unit.unit for unit in units] == [0, 1]
    assert (units[0].start, units[-1].end) == (header, len(GOOD))
    assert units[0].end == units[1].start
    assert [unit.rows for unit in units] == [units[1].first_row, 40 - units[1].first_row]


def test_the_same_input_gives_the_same_bytes() -> None:
    stores = []
    for _ in range(2):
        bench = Bench()
        planned(bench, "tiny/orders.csv", GOOD, 300)
        stores.append(bench.store.objects)
    assert stores[0] == stores[1]


def test_a_plan_once_made_stands_though_another_version_goes_live() -> None:
    bench = Bench(MemoryCatalog(Pinned(3, "old", "seal", CONTRACT)))
    first = planned(bench, "tiny/a.csv", GOOD)
    bench.catalog.models["tiny", 4] = Pinned(4, "new", "seal", CONTRACT)
    bench.inbox.versions[BUCKET, "tiny/a.csv"].clear()
    assert planned(bench, "tiny/a.csv", GOOD) == first
    assert planned(bench, "tiny/b.csv", GOOD).version == 4


@pytest.mark.parametrize(
    ("key", "body", "kind", "packed"),
    [
        ("tiny/a.csv", GOOD, "csv", False),
        ("tiny/a.CSV", GOOD, "csv", False),
        ("tiny/a.txt", GOOD, "csv", False),
        ("tiny/a.csv.gz", gzip.compress(GOOD), "csv", True),
        ("tiny/a.csv", gzip.compress(GOOD), "csv", True),
        ("tiny/a.jsonl", jsonl_bytes(ROWS), "jsonl", False),
        ("tiny/a.ndjson", jsonl_bytes(ROWS), "jsonl", False),
        ("tiny/a.json", jsonl_bytes(ROWS), "jsonl", False),
        ("tiny/no suffix", jsonl_bytes(ROWS), "jsonl", False),
        ("tiny/a.jsonl", b"\xef\xbb\xbf" + jsonl_bytes(ROWS), "jsonl", False),
        ("tiny/a.jsonl.gz", gzip.compress(jsonl_bytes(ROWS)), "jsonl", True),
        ("tiny/a.parquet", parquet_bytes(ROWS), "parquet", False),
        ("tiny/a.parquet.gz", parquet_bytes(ROWS), "parquet", False),
        ("tiny/deep/er/no suffix", parquet_bytes(ROWS), "parquet", False),
    ],
)
def test_formats_are_known_by_their_bytes_and_names(
    key: str, body: bytes, kind: str, packed: bool
) -> None:
    plan = planned(Bench(), key, body)
    assert (plan.format, plan.gzip, plan.rows) == (kind, packed, 40)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_found(delimiter: str) -> None:
    plan = planned(Bench(), "tiny/a.csv", GOOD.replace(b",", delimiter.encode()))
    assert (plan.delimiter, plan.rows) == (delimiter, 40)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a BOM", b"\xef\xbb\xbf" + GOOD),
        ("CRLF", csv_bytes(ROWS, "\r\n")),
        ("empty lines before and after", b"\n\r\n" + GOOD + b"\n\n"),
        ("no newline at the end", GOOD.rstrip()),
        ("names in quotes", GOOD.replace(b"customer,amount", b'"customer","amount"', 1)),
        ("spaces around names", GOOD.replace(b"customer,amount", b" customer , amount", 1)),
        ("a BOM before quotes", b"\xef\xbb\xbf" + GOOD.replace(b"customer", b'"customer"', 1)),
    ],
)
def test_csv_in_the_forms_that_programs_write(name: str, body: bytes) -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", body, 200)
    results = bench.score(plan)
    assert plan.columns == ("customer", "amount", "visits", "country", "rate"), name
    assert sum(result["scored"] for result in results) == 40


def test_columns_that_the_model_does_not_take_are_left_out_with_a_note() -> None:
    bench = Bench()
    rows = [row(n, segment="a", customer=f"c{n}") for n in range(3)]
    for key, body in (("tiny/a.csv", csv_bytes(rows)), ("tiny/a.jsonl", jsonl_bytes(rows))):
        plan = planned(bench, key, body)
        assert [result["scored"] for result in bench.score(plan)] == [3]
    plan = planned(bench, "tiny/a.csv", csv_bytes(rows))
    assert plan.ignored == ("segment",)
    assert plan.notes == ("Columns that the model does not take were left out: segment.",)


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("tiny/a.csv", GOOD[: GOOD.index(b"\n") + 1]),
        ("tiny/a.csv", GOOD[: GOOD.index(b"\n")]),
        ("tiny/a.parquet", parquet_bytes([])),
        ("tiny/a.csv.gz", gzip.compress(GOOD[: GOOD.index(b"\n")])),
        ("tiny/a.csv", b"\n\r\n \n"),
        ("tiny/a.csv", b"\xef\xbb\xbf"),
        ("tiny/a.csv.gz", gzip.compress(b"")),
        ("tiny/a.csv.gz", gzip.compress(b"\n")),
        ("tiny/a.jsonl", b"\n\n"),
        ("tiny/a.jsonl.gz", gzip.compress(b"")),
        ("tiny/a.parquet", without_rows(parquet_bytes(ROWS[:3]), 0)),
    ],
)
def test_a_file_without_rows_is_a_run_without_units(key: str, body: bytes) -> None:
    bench = Bench()
    plan = planned(bench, key, body)
    assert (plan.rows, plan.units, plan.notes[0]) == (0, 0, "The file has no rows.")
    assert bench.units(plan) == []


def test_output_form_is_asked_for_by_metadata() -> None:
    bench = Bench()
    assert planned(bench, "tiny/a.csv", GOOD, output="input").output == "csv"
    assert planned(bench, "tiny/b.csv", GOOD, output="jsonl").output == "jsonl"
    assert planned(bench, "tiny/c.csv", GOOD).output == "parquet"


READABLE = "CSV, JSONL (both also gzipped) or Parquet"
PACKED = gzip.compress(GOOD)
PARQUET = parquet_bytes(ROWS)
LATIN = GOOD.replace(b"customer", "k\xfcnde".encode("latin-1"))
CUT = "a truncated file: its footer is missing"
ENDS = "lines that end in \\n or \\r\\n"
MEANT = "no such column; is it 'Amount'?"
NAMED_GZIP = "gzip, as its name ends in .gz"
NOT_GZIP = "data that is not gzip; gzip it, or name it"


@pytest.mark.parametrize(
    ("key", "body", "field", "expected", "got"),
    [
        ("a.csv", b"", "the file", READABLE, "an empty file (0 bytes)"),
        ("a.xlsx", b"PK\x03\x04", "the file", READABLE, "the unknown suffix 'xlsx'"),
        ("a.csv", b"a\0b", "the file", READABLE, "binary data of an unknown format"),
        ("a.csv", "a,b".encode("utf-16"), "the file", "text in UTF-8", "UTF-16"),
        ("a.json", b" [{}]", "the file", "one JSON object a line (JSONL)", "a JSON array"),
        ("a.parquet", GOOD, "the file", "Parquet", "a file that does not begin as Parquet does"),
        ("a", gzip.compress(PARQUET), "the file", READABLE, "gzipped Parquet; drop it unpacked"),
        ("a.csv.gz", PACKED[:-9], "the file", "a whole gzip", "a truncated one"),
        ("a.csv.gz", PACKED[:40] + b"\xff" * 40, "the file", "a whole gzip", "a damaged one"),
        ("a.csv", LATIN, "the header", "text in UTF-8", "another encoding"),
        ("a.csv", GOOD.replace(b"\n", b"\r"), "the file", ENDS, "lines that end in \\r"),
        ("a.csv", GOOD.replace(b"am", b"Am"), "amount", "a column of that name", MEANT),
        ("a.csv", GOOD.replace(b"rate", b"amount"), "amount", "one column of that name", "2"),
        ("a.parquet", PARQUET[:-100], "the file", "Parquet, whole", CUT),
        ("a.parquet", PARQUET[:6], "the file", "Parquet, whole", CUT),
        ("a.csv.gz", GOOD, "the file", NAMED_GZIP, f"{NOT_GZIP} a.csv"),
        ("a.JSONL.GZ", jsonl_bytes(ROWS), "the file", NAMED_GZIP, f"{NOT_GZIP} a.jsonl"),
    ],
)
def test_refusals_name_what_was_expected_and_what_came(
    key: str, body: bytes, field: str, expected: str, got: str
) -> None:
    assert refused(body, f"tiny/{key}") == (f"{field}: expected {expected}, got {got}",)


def test_an_unknown_model_is_refused() -> None:
    (refusal,) = refused(GOOD, "nosuch/a.csv")
    assert refusal == "model: expected a published model, got 'nosuch'"


def test_all_missing_columns_are_named() -> None:
    assert refused(b"name,rate\nx,1\n") == (
        "amount: expected a column of that name, got no such column",
        "country: expected a column of that name, got no such column",
        "visits: expected a column of that name, got no such column",
    )


def test_an_unknown_output_form_is_refused() -> None:
    (refusal,) = refused(GOOD, output="xml")
    assert refusal == "metadata quintet-output: expected input, csv, jsonl, parquet, got xml"


def test_damaged_footers_are_refused_and_never_crash() -> None:
    body = parquet_bytes(ROWS)
    length = int.from_bytes(body[-8:-4], "little")
    for position in range(0, length, 7):
        at = len(body) - 8 - length + position
        bench = Bench()
        plan = bench.plan("tiny/a.parquet", body[:at] + b"\xff" + body[at + 1 :])
        if isinstance(plan, RefusedPlan):
            assert "panic" not in plan.refusals[0].lower()


def test_a_parquet_column_of_another_kind_is_refused_before_any_unit() -> None:
    when = {**KINDS, "amount": core.DataType.timestamp("ms")}
    rows = [{**row(1), "amount": None}]
    (refusal,) = refused(parquet_bytes(rows, kinds=when), "tiny/a.parquet")
    assert refusal == ("amount: expected numbers, text or booleans, got a column of Timestamp(ms)")


def test_a_file_that_is_gone_is_refused() -> None:
    bench = Bench()
    bench.inbox.put = lambda *_: Snapshot(  # type: ignore[method-assign]
        bucket=BUCKET, key="tiny/a.csv", version_id="v1", etag="", size=1
    )
    plan = bench.plan("tiny/a.csv", b"")
    assert isinstance(plan, RefusedPlan)
    assert plan.refusals == (
        "the file: expected tiny/a.csv in the inbox, got nothing; it was deleted",
    )


def test_row_groups_are_taken_together_up_to_the_target() -> None:
    bench = Bench()
    body = parquet_bytes([row(n) for n in range(1000)], group=50)
    plan = planned(bench, "tiny/a.parquet", body, 5000)
    units = bench.units(plan)
    assert 2 < len(units) < 20
    assert [u.first_row for u in units] == [50 * u.start for u in units]
    assert [u.end for u in units[:-1]] == [u.start for u in units[1:]]
    assert (sum(u.rows for u in units), units[-1].end) == (1000, 20)


@pytest.mark.parametrize(
    ("bucket", "key", "name"),
    [
        ("inbox", "churn/My File (é+1).csv", "churn-My-File-1-"),
        ("inbox", "churn/deep/folder/2026-01.csv.gz", "churn-2026-01-"),
        ("inbox", "ünï modèl/x", "n-mod-l-x-"),
        ("inbox", "a" * 500 + "/" + "b" * 500, "a" * 24 + "-" + "b" * 24 + "-"),
        ("inbox", "/\U0001f600", "unnamed-unnamed-"),
    ],
)
def test_run_names_are_readable_safe_and_their_own(bucket: str, key: str, name: str) -> None:
    run = run_name(bucket, key, "v1")
    assert run.startswith(name)
    assert len(run) <= 80
    assert run == slug(run)
    others = {
        run_name(bucket, key, "v2"),
        run_name("other", key, "v1"),
        run_name(bucket, key + "x", "v1"),
    }
    assert len(others | {run}) == 4


def test_unknown_suffixes_are_shown_short() -> None:
    with pytest.raises(BadInput) as refusal:
        detect("tiny/a." + "x" * 300, b"text")
    assert len(str(refusal.value)) < 200
