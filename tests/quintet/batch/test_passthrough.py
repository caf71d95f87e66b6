"""Columns of the input beside the scores: the same values whatever the format and the cut."""

from __future__ import annotations

import gzip
import math
from typing import Any

import orjson
import pytest
from arro3 import core
from hypothesis import given
from hypothesis import strategies as st
from tests.kits.batch import BUCKET, KINDS, Bench, csv_bytes, jsonl_bytes, parquet_bytes, row

from quintet.batch import passthrough
from quintet.batch.planning import KEEP, OUTPUT
from quintet.batch.plans import Plan, RefusedPlan, dump, plan_from
from quintet.batch.requests import passthrough_of, request_from
from quintet.errors import BadInput

TEXTS = ["plain", "", 'with "quotes", commas', "two\nlines", "ünï", " spaces ", "1.50"]
ROWS = [
    row(n, note=TEXTS[n % 7], segment=n % 3, country="xx" if n % 11 == 5 else "de")
    for n in range(40)
]
GOOD = [n for n in range(40) if n % 11 != 5]
EXPECTED = [(n, TEXTS[n % 7] or None, str(n % 3)) for n in GOOD]
PARQUET = parquet_bytes(
    [{**r, "note": r["note"] or None} for r in ROWS],
    7,
    {**KINDS, "note": core.DataType.string(), "segment": core.DataType.int16()},
)
JSONL = jsonl_bytes([{**r, "note": r["note"] or None} for r in ROWS])
FILES = {
    "a.csv": csv_bytes(ROWS),
    "b.csv.gz": gzip.compress(csv_bytes(ROWS, "\r\n")),
    "a.jsonl": JSONL,
    "a.parquet": PARQUET,
}


def kept(key: str, body: bytes, keep: str, unit_bytes: int = 700) -> tuple[Bench, Plan]:
    bench = Bench()
    bench.inbox.put(BUCKET, f"tiny/{key}", body, {KEEP: keep})
    plan = bench.plan_many(unit_bytes, key=f"tiny/{key}")
    assert isinstance(plan, Plan), plan
    assert {result["status"] for result in bench.score(plan)} == {"done"}
    return bench, plan


def refused(key: str, body: bytes, keep: Any) -> tuple[str, ...]:
    bench = Bench()
    bench.inbox.put(BUCKET, f"tiny/{key}", body)
    plan = bench.plan_many(key=f"tiny/{key}", keep=keep)
    assert isinstance(plan, RefusedPlan), plan
    return plan.refusals


@pytest.mark.parametrize("unit_bytes", [100, 700, 1 << 20])
@pytest.mark.parametrize("key", FILES)
def test_kept_columns_stand_beside_their_rows(key: str, unit_bytes: int) -> None:
    bench, plan = kept(key, FILES[key], "note, segment=group", unit_bytes)
    assert plan.keep == (("note", "note"), ("segment", "group"))
    found = bench.scores(plan.folder)
    assert [(r["row"], r["note"], r["group"]) for r in found] == EXPECTED
    names = ["row", "customer", "note", "group", "score", "parts_amount", "parts_visits"]
    assert list(found[0]) == [*names, "country_seen", "model_version"]
    assert plan_from(dump(plan)) == plan
    # and the rest is what it is without them
    bare = Bench()
    alone = bare.plan(f"tiny/{key}", FILES[key], unit_bytes)
    bare.score(alone)
    assert bare.scores(alone.folder) == [
        {name: r[name] for name in r if name not in ("note", "group")} for r in found
    ]


@pytest.mark.parametrize("key", ["a.csv", "a.parquet"])
def test_all_columns_are_kept_but_the_entity_which_is_there(key: str) -> None:
    bench, plan = kept(key, FILES[key], "*")
    names = ["amount", "visits", "country", "rate", "note", "segment"]
    assert [name for _, name in plan.keep] == names
    first = bench.scores(plan.folder)[1]
    assert {name: first[name] for name in names} == {
        "amount": "0.25",
        "visits": "1",
        "country": "de",
        "rate": "0.5",
        "note": None,
        "segment": "1",
    }


def test_values_of_any_type_are_kept_as_text() -> None:
    rows = [
        {**row(1), "any": value} for value in (None, "t", 7, 1.5, True, [1, "x"], {"a": None}, "")
    ]
    bench, plan = kept("a.jsonl", jsonl_bytes(rows), "any")
    assert [r["any"] for r in bench.scores(plan.folder)] == [
        None, "t", "7", "1.5", "true", '[1,"x"]', '{"a":null}', ""
    ]  # fmt: skip
    kinds = {
        **KINDS,
        "when": core.DataType.timestamp("ms"),
        "day": core.DataType.date32(),
        "exact": core.DataType.decimal128(10, 2),
        "gap": core.DataType.float64(),
        "yes": core.DataType.bool(),
    }
    values = {"when": 1_700_000_000_000, "exact": 7, "gap": float("nan"), "yes": True}
    body = parquet_bytes([row(1, **values, day=None)], kinds=kinds)
    bench, plan = kept("a.parquet", body, "when,day,exact,gap,yes")
    (found,) = bench.scores(plan.folder)
    assert {name: found[name] for name in ("when", "day", "exact", "gap", "yes")} == {
        "when": "2023-11-14T22:13:20",
        "day": None,
        "exact": "7.00",
        "gap": None,
        "yes": "true",
    }


def test_fields_of_json_of_one_kind_are_kept_as_each_by_itself() -> None:
    fields: dict[str, list[Any]] = {
        "a": [None, 0.1, -1.0, 1e-7],
        "b": [7, None, 2**64 - 1, -1],
        "c": ["", "ü", None, "1"],
    }
    rows = [row(n, **{name: values[n] for name, values in fields.items()}) for n in range(4)]
    bench, plan = kept("a.jsonl", jsonl_bytes(rows), "a,b,c", 1 << 20)
    found = [tuple(r[name] for name in fields) for r in bench.scores(plan.folder)]
    assert found == [
        (None, "7", ""),
        ("0.1", None, "ü"),
        ("-1.0", str(2**64 - 1), None),
        ("1e-7", "-1", "1"),
    ]


@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("ab é.;\t'\ufeff\r\u2028"), max_size=4),
            st.sampled_from(["1.5", "-0.25", "n/a", "3"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_cells_of_rows_without_quotes_are_kept_as_the_csv_module_reads_them(
    cells: list[tuple[str, str]], newline: bytes
) -> None:
    lines = ["note,customer,amount,visits,country,rate"]
    lines += [f"{note},c{n},{amount},1,de,0.5" for n, (note, amount) in enumerate(cells)]
    body = newline.join(line.encode() for line in [*lines, ""])
    found = []
    for look in (passthrough._csv_columns, lambda plan, chunk, columns: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passthrough, "_csv_columns", look)
            bench, plan = kept("a.csv", body, "note, rate", 1 << 20)
            found.append((bench.scores(plan.folder), bench.quarantine(plan.folder)))
    assert found[0] == found[1]


NUMBERS = [0.1, -1.0, 1e-7, 3.4e38, None, 16777217.0]


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        ("float32", NUMBERS, ["0.1", "-1.0", "1e-7", "3.4e38", None, "16777216.0"]),
        ("float64", NUMBERS, ["0.1", "-1.0", "1e-7", "3.4e38", None, "16777217.0"]),
        ("float64", [math.nan, 0.1, math.inf, None], [None, "0.1", "inf", None]),
        ("float32", [math.nan, 0.1], [None, "0.1"]),
        ("int8", [-7, None], ["-7", None]),
        ("uint64", [2**64 - 1], [str(2**64 - 1)]),
        ("bool", [True, None, False], ["true", None, "false"]),
        ("large_string", ["", "ü", None], ["", "ü", None]),
        ("string_view", ["", "a text of more than twelve bytes", None], None),
    ],
)
def test_columns_of_parquet_are_kept_with_the_digits_of_their_type(
    kind: str, values: list[Any], texts: list[str | None] | None
) -> None:
    rows = [row(n, any=value) for n, value in enumerate(values)]
    body = parquet_bytes(rows, kinds={**KINDS, "any": getattr(core.DataType, kind)()})
    bench, plan = kept("a.parquet", body, "any")
    assert [r["any"] for r in bench.scores(plan.folder)] == (texts or values)
    assert plan.keep == (("any", "any"),)


def test_a_unit_of_refused_rows_only_has_the_columns_all_the_same() -> None:
    bench, plan = kept("a.jsonl", b'{"note":"x"}\n', "note")
    (result,) = bench.score(plan)
    assert (result["scored"], result["quarantined"], bench.scores(plan.folder)) == (0, 1, [])


def test_many_files_are_kept_from_by_their_own_headers() -> None:
    turned = [dict(reversed(r.items())) for r in ROWS[:5]]
    bare = [{name: r[name] for name in r if name != "segment"} for r in ROWS[:5]]
    bench = Bench()
    for name, rows in (("a", ROWS[:5]), ("b", turned), ("c", bare)):
        bench.inbox.put(BUCKET, f"data/{name}.csv", csv_bytes(rows))
    plan = bench.plan_many(prefix="data/", keep={"note": "text"}, output="jsonl")
    assert isinstance(plan, Plan) and plan.output == "jsonl"
    bench.score(plan)
    body = bench.store.objects[plan.folder.scores(0, "jsonl")]
    found = [orjson.loads(line) for line in body.splitlines()]
    assert [(r["file"], r["row"], r["text"]) for r in found] == [
        (f"data/{name}.csv", n, TEXTS[n] or None) for name in "abc" for n in range(5)
    ]
    bench.store.objects.clear()
    plan = bench.plan_many(prefix="data/", keep="*")
    bench.score(plan)
    segments = [r["segment"] for r in bench.scores(plan.folder)]
    assert segments == [*map(str, (0, 1, 2, 0, 1)), *map(str, (0, 1, 2, 0, 1)), *[None] * 5]
    bench.store.objects.clear()
    lacking = bench.plan_many(prefix="data/", keep=["segment"])
    assert isinstance(lacking, RefusedPlan)
    assert lacking.refusals == ("keep: segment: expected one such column in data/c.csv, got 0",)


@pytest.mark.parametrize(
    ("key", "keep", "refusal"),
    [
        ("a.csv", ["nosuch"], "keep: nosuch: expected one such column in tiny/a.csv, got 0"),
        ("a.parquet", ["nosuch"], "keep: nosuch: expected one such column in tiny/a.parquet, "),
        ("a.jsonl", "*", "keep: expected the names of columns, as JSONL has no header, got all"),
        ("a.csv", {"note": "score"}, "keep: expected names that no column of the scores has, got "),
        ("a.csv", {"note": "row"}, "keep: expected names that no column of the scores has, got "),
        ("a.csv", ["customer"], "keep: expected names that no column of the scores has, got "),
        ("a.csv", {"note": "a", "segment": "a"}, "keep: expected names that no column of the "),
    ],
)
def test_what_cannot_be_kept_refuses_the_run(key: str, keep: Any, refusal: str) -> None:
    (found,) = refused(key, FILES[key], keep)
    assert found.startswith(refusal)


def test_the_form_of_the_scores_may_be_asked_for_by_the_request() -> None:
    bench = Bench()
    bench.inbox.put(BUCKET, "tiny/a.csv", FILES["a.csv"], {OUTPUT: "jsonl"})
    plan = bench.plan_many(key="tiny/a.csv", output="input")
    assert isinstance(plan, Plan) and plan.output == "csv"
    bench.store.objects.clear()
    wrong = bench.plan_many(key="tiny/a.csv", output="xml")
    assert isinstance(wrong, RefusedPlan)
    assert wrong.refusals == ("output: expected input, csv, jsonl, parquet, got xml",)


def test_what_to_keep_is_read_from_text() -> None:
    assert passthrough_of("a, b=c ,d") == {"a": "a", "b": "c", "d": "d"}
    assert (passthrough_of(" * "), passthrough_of("")) == ("*", None)


@pytest.mark.parametrize("keep", [[], {}, "a", 7, [1], [""], {"a": 1}, {"a": None}, ["a"] * 401])
def test_odd_wishes_are_refused(keep: Any) -> None:
    with pytest.raises(BadInput, match="keep: expected a list of columns, "):
        request_from({"bucket": "b", "key": "tiny/a.csv", "keep": keep})
