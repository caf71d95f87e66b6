"""A CSV without a header: its cells are in the contract's order, vectors value by value."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import orjson
import pytest
from tests.kits.batch import BUCKET, CONTRACT, Bench, csv_bytes, jsonl_bytes, row
from tests.kits.forms import contract_of, read_file

from quintet.batch.executions import MemoryExecutions
from quintet.batch.input_inspection import HEADER
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan, RefusedPlan
from quintet.batch.schedules import start_scheduled
from quintet.contract import Contract, Feature
from quintet.errors import BadInput

ROWS = [row(number) for number in range(60)]
ORDER = ("amount", "visits", "country", "rate")
BARE = b"".join(line.partition(b",")[2] for line in csv_bytes(ROWS).splitlines(keepends=True)[1:])
HEADLESS = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, replace(CONTRACT, header="none")))


def planned(bench: Bench, **asked: Any) -> Plan:
    plan = bench.plan_many(700, **asked)
    assert isinstance(plan, Plan), plan
    return plan


def refused(bench: Bench, **asked: Any) -> tuple[str, ...]:
    plan = bench.plan_many(700, **asked)
    assert isinstance(plan, RefusedPlan), plan
    return plan.refusals


def scores(bench: Bench, plan: Plan) -> list[Any]:
    bench.score(plan)
    assert bench.quarantine(plan.folder) == []
    return [(found["row"], found["score"]) for found in bench.scores(plan.folder)]


def with_header() -> list[Any]:
    bench = Bench()
    bench.inbox.put(BUCKET, "tiny/a.csv", csv_bytes(ROWS))
    return scores(bench, planned(bench, key="tiny/a.csv"))


@pytest.mark.parametrize("where", ["request", "metadata", "contract", "manifest"])
@pytest.mark.parametrize(
    "body",
    [
        BARE,
        BARE.replace(b",", b";"),
        b"\xef\xbb\xbf\r\n" + BARE.replace(b"\n", b"\r\n"),
        gzip.compress(BARE),
    ],
    ids=["commas", "semicolons", "BOM", "gzip"],
)
def test_its_rows_score_like_those_with_a_header(where: str, body: bytes) -> None:
    bench = Bench(HEADLESS) if where == "contract" else Bench()
    none = {HEADER: "none"}
    bench.inbox.put(BUCKET, "tiny/a.csv", body, none if where == "metadata" else {})
    asked: dict[str, Any] = {"key": "tiny/a.csv"}
    if where == "request":
        asked["header"] = "none"
    if where == "manifest":
        bench.inbox.put(BUCKET, "m.json", orjson.dumps(["tiny/a.csv"]), none)
        asked = {"manifest": "m.json"}
    plan = planned(bench, **asked)
    assert plan.rows == len(ROWS)
    assert where == "manifest" or plan.columns == ORDER
    assert scores(bench, plan) == with_header()


def test_each_file_of_a_prefix_says_for_itself() -> None:
    bench = Bench(HEADLESS)
    bench.inbox.put(BUCKET, "data/a.csv", BARE)
    bench.inbox.put(BUCKET, "data/b.csv", csv_bytes(ROWS), {HEADER: "first"})
    plan = planned(bench, prefix="data/")
    assert plan.rows == 2 * len(ROWS)
    both = scores(bench, plan)
    assert both == with_header() * 2
    bench.store.objects.clear()
    assert refused(bench, prefix="data/", header="none") == (
        "data/b.csv: the first row: expected values, as `header` is none, got the names of the "
        "columns; leave `header: none` out",
    )


def test_features_from_folders_have_no_cell() -> None:
    bench = Bench()
    lines = [line.split(b",") for line in BARE.splitlines()]
    body = b"".join(b",".join((cells[0], cells[1], cells[3])) + b"\n" for cells in lines)
    bench.inbox.put(BUCKET, "data/Country=de/a.csv", body)
    plan = planned(bench, prefix="data/", header="none")
    (layout,) = orjson.loads(bench.store.objects[plan.inputs_key])["layouts"]
    assert layout["columns"] == ["amount", "visits", "rate"]
    assert len(scores(bench, plan)) == len(ROWS)


def test_kept_columns_and_refused_rows_have_the_contracts_names() -> None:
    bench = Bench()
    bench.inbox.put(BUCKET, "tiny/a.csv", b"0.5,1,fr,0.5\n0.5,x,fr,0.5\n1,2,fr\n0.5,3,de,\n")
    plan = planned(bench, key="tiny/a.csv", header="none", keep=["country"])
    bench.score(plan)
    assert [(r["row"], r["country"]) for r in bench.scores(plan.folder)] == [(0, "fr"), (3, "de")]
    assert [(r["text"], r["reasons"][0]["field"]) for r in bench.quarantine(plan.folder)] == [
        ("0.5,x,fr,0.5", "visits"),
        ("1,2,fr", "row"),
    ]


def test_the_entity_key_comes_first_if_the_model_joins_stored_features() -> None:
    contract = contract_of(Feature(name="x", dtype="float64"), entity="who")
    batch = read_file(replace(contract, header="none"), "a.csv", b"ann,1.5\n7.0,2\n")
    assert (batch.entities, batch.columns["x"].tolist()) == (["ann", "7"], [1.5, 2.0])


VECTORS = contract_of(
    Feature(name="x", dtype="float32", shape=(2, 2)),
    Feature(name="n", dtype="float32"),
    Feature(name="words", dtype="string", shape=(2,)),
)


@pytest.mark.parametrize("last", ["", '1,2,3,4,5,"a",b\n', "1,2,3,4\n"])
def test_vectors_are_read_value_by_value(last: str) -> None:
    rows = [[number + place / 8 for place in range(5)] for number in range(9)]
    body = "".join(f"{','.join(map(str, values))},a,b{values[0]:g}\n" for values in rows)
    batch = read_file(replace(VECTORS, header="none"), "a.csv", (body + last).encode())
    assert batch.columns["x"].tolist()[:9] == [[v[:2], v[2:4]] for v in rows]
    assert batch.columns["n"].tolist()[:9] == [v[4] for v in rows]
    assert batch.columns["words"].tolist()[:9] == [["a", f"b{v[0]:g}"] for v in rows]
    named = ",".join(["words[1]", "words[0]", *(f"x[{n}]" for n in range(4)), "n"])
    lines = "".join(f"b,a,{','.join(map(str, values))}\n" for values in rows)
    other = read_file(VECTORS, "a.csv", f"{named}\n{lines}".encode())
    assert other.columns["x"].tolist() == [[v[:2], v[2:4]] for v in rows]
    assert other.columns["words"].tolist() == [["a", "b"]] * 9


def test_a_bad_value_of_a_vector_is_named() -> None:
    contract = replace(VECTORS, header="none")
    batch = read_file(contract, "a.csv", b"1,2,3,4,5,a,b\n1,2,y,4,5,a,b\n1,2,3,,5,a,b\n")
    assert [(r.row, r.field, r.expected, r.got) for r in batch.refusals] == [
        (1, "x[2]", "a number (float32)", "'y'"),
        (2, "x[3]", "a number (float32)", "nothing"),
    ]
    assert batch.good.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("contract", "body", "refusal"),
    [
        (
            CONTRACT,
            BARE,
            "the header: expected the columns amount, country, visits, got none of these "
            "(0.0, 0, de, 0.75); if the file has no header, say `header: none`",
        ),
        (
            CONTRACT,
            b"1,2,3\n4,5,6\n",
            "the header: expected the columns amount, country, visits, got numbers only (1, 2, 3); "
            "if the file has no header, say `header: none`",
        ),
        (
            contract_of(Feature(name="x", dtype="float64", default=0)),
            b"1;2,5\n",
            "the header: expected the columns of the model, got numbers only (1;2, 5); "
            "if the file has no header, say `header: none`",
        ),
        (
            contract_of(*(Feature(name=f"f{n}", dtype="float32") for n in range(30))),
            b"9,9\n",
            "the header: expected the columns f0, f1, f10, f11, f12, f13, f14, f15, ..., got "
            "numbers only (9, 9); if the file has no header, say `header: none`",
        ),
        (
            VECTORS,
            b"x,n,words\n1,2,a\n",
            "words: expected a column for each value: words[0], words[1], ..., got 2 of them "
            "missing; x: expected a column for each value: x[0], x[1], ..., got 4 of them missing",
        ),
        (
            replace(CONTRACT, header="none"),
            csv_bytes(ROWS),
            "the first row: expected values, as `header` is none, got the names of the columns; "
            "leave `header: none` out",
        ),
        (
            replace(CONTRACT, header="none"),
            b"1,2,fr\n3,4,de\n",
            "the first row: expected 4 cells, as `header` is none: amount, visits, country, rate, "
            "got 3; customer has none, as the model joins no stored features",
        ),
    ],
)
def test_what_it_is_mistaken_for_is_said(contract: Contract, body: bytes, refusal: str) -> None:
    with pytest.raises(BadInput) as found:
        read_file(contract, "a.csv", body)
    assert str(found.value) == refusal


def test_decimal_commas_leave_the_semicolon() -> None:
    pair = contract_of(Feature(name="x", dtype="float64"), Feature(name="y", dtype="float64"))
    contract = replace(pair, header="none", decimal=",")
    batch = read_file(contract, "a.csv", b"1,5;2,5\n3;4\n")
    assert (batch.columns["x"].tolist(), batch.columns["y"].tolist()) == ([1.5, 3.0], [2.5, 4.0])
    alone = replace(contract_of(Feature(name="x", dtype="float64")), header="none", decimal=",")
    assert read_file(alone, "a.csv", b"1,5\n7\n").columns["x"].tolist() == [1.5, 7.0]


def test_its_first_rows_may_be_bad_long_or_have_line_breaks() -> None:
    pair = contract_of(Feature(name="t", dtype="string"), Feature(name="x", dtype="float64"))
    contract = replace(pair, header="none")
    body = b'a\n"b\nc",1\n"d;e;f",2\n'
    batch = read_file(contract, "a.csv", body)
    assert [(r.row, r.expected, r.got) for r in batch.refusals] == [(0, "2 cells", "1")]
    assert batch.columns["t"].tolist()[1:] == ["b\nc", "d;e;f"]
    alone = read_file(contract, "a.csv", b'"b\nc",1')
    assert (alone.columns["t"].tolist(), alone.columns["x"].tolist()) == (["b\nc"], [1.0])
    long = read_file(contract, "a.csv", b"y" * (1 << 19) + b",1\nz,2\n")
    assert (long.refusals, long.columns["x"].tolist()) == ([], [1.0, 2.0])
    with pytest.raises(BadInput, match=r"the file: expected lines that end in"):
        read_file(contract, "a.csv", b"a,1\rb,2\r")


def test_all_features_may_be_optional() -> None:
    optional = contract_of(*(Feature(name=n, dtype="float64", default=0) for n in "xy"))
    contract = replace(optional, header="none")
    batch = read_file(contract, "a.csv", b"1,2\n,4\n")
    assert (batch.columns["x"].tolist(), batch.columns["y"].tolist()) == ([1.0, 0.0], [2.0, 4.0])
    with pytest.raises(BadInput, match="the first row: expected values, as `header` is none"):
        read_file(contract, "a.csv", b"x,y\n1,2\n")


@pytest.mark.parametrize("header", ["None", "", 0, "no"])
def test_other_words_are_refused(header: Any) -> None:
    bench = Bench()
    bench.inbox.put(BUCKET, "tiny/a.csv", BARE, {HEADER: str(header)})
    shown = repr(str(header))
    assert refused(bench, key="tiny/a.csv") == (
        f"metadata quintet-header: expected first or none, got {shown}",
    )
    with pytest.raises(BadInput, match="header: expected "):
        planned(bench, key="tiny/a.csv", header=header)


def test_a_schedule_may_say_so() -> None:
    runs = MemoryExecutions()
    request = {"bucket": BUCKET, "model": "tiny", "prefix": "p/", "header": "none"}
    begun = start_scheduled({"scheduled": "2026-11-20T06:00:00Z", "request": request}, runs)
    assert runs.held[begun.folder.run].request == request
    with pytest.raises(BadInput, match="header: expected first or none, got 'maybe'"):
        start_scheduled(
            {"scheduled": "2026-11-20T06:00:00Z", "request": {**request, "header": "maybe"}}, runs
        )


def test_other_formats_have_no_header() -> None:
    bench = Bench(HEADLESS)
    bench.inbox.put(BUCKET, "tiny/a.jsonl", jsonl_bytes(ROWS))
    assert scores(bench, planned(bench, key="tiny/a.jsonl", header="none")) == with_header()
