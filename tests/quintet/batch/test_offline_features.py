"""Stored features as they were: the last value before a partition's end, and none after it."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from arro3 import core
from arro3 import io as arrow_io
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.batch import BUCKET, CONTRACT, Bench, csv_bytes, jsonl_bytes, row, tiny_graph

from quintet.batch.offline_features import as_of
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan, RefusedPlan, plan_from
from quintet.batch.units import score_unit
from quintet.contract import Contract, Feature
from quintet.onnx_model import OnnxModel

FAR = 86_400.0 * 3650
#: what the store says of a rate that nobody knew: the feature's default
UNKNOWN = 0.5

STORED: Contract = dataclasses.replace(
    CONTRACT,
    features=(
        *CONTRACT.features[:1],
        Feature(name="visits", dtype="int64", source="store", default=99, when_stale="default"),
        CONTRACT.features[2],
        Feature(
            name="rate", dtype="float32", source="store", default=UNKNOWN, when_stale="default"
        ),
    ),
)
MODEL = OnnxModel(STORED, tiny_graph())
CATALOG = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, STORED))


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def history(rows: list[dict[str, Any]], at: core.DataType | None = None, group: int = 3) -> bytes:
    """A file of features: `at` as seconds, or cast to another type."""
    kinds = {
        "customer": core.DataType.string(),
        "rate": core.DataType.float64(),
        "visits": core.DataType.int32(),
    }
    columns: dict[str, Any] = {
        n: core.Array([r.get(n) for r in rows], kind) for n, kind in kinds.items()
    }
    if at is not None and core.DataType.is_temporal(at):
        micros = [int(r["at"] * 1e6) for r in rows]
        found = core.Array(micros, core.DataType.int64()).cast(core.DataType.timestamp("us"))
        columns["at"] = found.cast(at)
    elif at is not None:
        texts = [datetime.fromtimestamp(r["at"], UTC).isoformat() for r in rows]
        columns["at"] = core.Array(texts, at)
    else:
        columns["at"] = core.Array([r["at"] for r in rows], core.DataType.float64())
    out = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_pydict(columns), out, max_row_group_size=group)
    return out.getvalue()


def asked(*customers: str) -> bytes:
    """Rows to score, without what is stored."""
    return jsonl_bytes(
        [{"customer": c, "amount": 1.0, "country": "de"} for c in customers],
    )


def bench(*files: tuple[str, bytes]) -> Bench:
    made = Bench(CATALOG)
    for key, body in files:
        made.inbox.put(BUCKET, key, body)
    return made


def scored(
    made: Bench,
    threads: int = 1,
    unit_bytes: int = 1 << 20,
    model: OnnxModel = MODEL,
    **request: Any,
) -> list[Any]:
    """The visits that the model was given by file and customer, as its output tells them."""
    plan = made.plan_many(unit_bytes, features="_features/tiny/", **request)
    assert isinstance(plan, Plan), plan
    for unit in made.units(plan):
        result = score_unit(
            unit,
            plan,
            model=lambda: model,
            inbox=made.inbox,
            store=made.store,
            cells=made.cells,
            features=made.features,
            clock=lambda: 0.0,
            threads=threads,
        )
        assert result["status"] == "done", result["reason"]
    return [
        (r.get("file"), r["customer"], r["parts_visits"], round(r["score"], 5))
        for r in made.scores(plan.folder)
    ]


def score_of(visits: float, rate: float) -> float:
    return round(float(1 / (1 + np.exp(-np.float32(rate + visits)))), 5)


JANUARY, FEBRUARY = "_data/tiny/month=2026-01/a.jsonl", "_data/tiny/month=2026-02/a.jsonl"
KNOWN = [
    {"customer": "ann", "at": moment("2025-12-01"), "visits": 1, "rate": 0.25},
    {"customer": "ann", "at": moment("2026-01-20"), "visits": 2, "rate": None},
    {"customer": "bob", "at": moment("2026-01-31T23:59:59"), "visits": 3, "rate": 0.75},
    {"customer": "ann", "at": moment("2026-02-01"), "visits": 4, "rate": 0.125},
    {"customer": "cyd", "at": moment("2026-02-10"), "visits": 5, "rate": float("nan")},
    {"customer": "dan", "at": moment("2026-01-01"), "visits": 6, "rate": 1.0},
]


@pytest.mark.parametrize(
    "at",
    [
        None,
        core.DataType.timestamp("ms"),
        core.DataType.timestamp("ns", tz="UTC"),
        core.DataType.string(),
    ],
)
@pytest.mark.parametrize("unit_bytes", [1, 1 << 20])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_partition_sees_the_last_values_before_its_end(
    at: core.DataType | None, unit_bytes: int, threads: int
) -> None:
    made = bench(
        (JANUARY, asked("ann", "bob", "cyd")),
        (FEBRUARY, asked("ann", "cyd", "ann")),
        ("_features/tiny/a.parquet", history(KNOWN[:4], at)),
        ("_features/tiny/day=2026-02-10/b.parquet", history(KNOWN[4:], at)),
        ("_features/tiny/_SUCCESS", b"hidden"),
    )
    # what the feature store knows today is not asked
    made.features.put("customer", "cyd", "visits", 7, moment("2026-01-01"))
    assert scored(made, threads, unit_bytes, prefix="_data/tiny/") == [
        (JANUARY, "ann", 2, score_of(2, 0.25)),
        (JANUARY, "bob", 3, score_of(3, 0.75)),
        (JANUARY, "cyd", 99, score_of(99, UNKNOWN)),
        (FEBRUARY, "ann", 4, score_of(4, 0.125)),
        (FEBRUARY, "cyd", 5, score_of(5, UNKNOWN)),
        (FEBRUARY, "ann", 4, score_of(4, 0.125)),
    ]


def test_a_feature_without_a_value_is_nan_where_the_contract_says_so() -> None:
    rate = Feature(
        name="rate",
        column="Rate (%)",
        dtype="float32",
        source="store",
        missing="nan",
        max_age=FAR,
    )
    contract = dataclasses.replace(
        STORED,
        features=(*STORED.features[:3], rate),
        outputs=(dataclasses.replace(STORED.outputs[0], finite=False), *STORED.outputs[1:]),
    )
    made = Bench(MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, contract)))
    made.inbox.put(BUCKET, FEBRUARY, asked("ann", "cyd", "eve"))
    body = history(KNOWN)
    table = arrow_io.read_parquet(io.BytesIO(body)).read_all()
    columns: dict[str, Any] = {
        n.replace("rate", "Rate (%)"): table.column(n) for n in table.column_names
    }
    out = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_pydict(columns), out)
    made.inbox.put(BUCKET, "_features/tiny/a.parquet", out.getvalue())
    found = scored(made, model=OnnxModel(contract, tiny_graph()), prefix="_data/tiny/")
    assert [(customer, str(score)) for _, customer, _, score in found] == [
        ("ann", str(score_of(4, 0.125))),
        ("cyd", "nan"),
        ("eve", "nan"),
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.none() | st.integers(0, 9)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_it_is_what_a_look_at_each_row_gives(
    told: list[tuple[str, int, int | None]], group: int, files: int
) -> None:
    end = moment("2026-02-01")
    parts = [told[n::files] for n in range(files) if told[n::files]]
    bodies = [
        [{"customer": c, "at": end - 20 + at, "visits": v, "rate": 0.5} for c, at, v in part]
        for part in parts
    ]
    made = bench(
        (JANUARY, asked("a", "b", "c")),
        *((f"_features/tiny/{n}.parquet", history(b, group=group)) for n, b in enumerate(bodies)),
    )
    expected: dict[str, tuple[int, int]] = {}
    for customer, at, visits in (one for part in parts for one in part):
        if visits is not None and expected.get(customer, (-1, 0))[0] <= at < 20:
            expected[customer] = (at, visits)
    found = scored(made, prefix="_data/tiny/", partition="month=2026-01")
    assert [r[2] for r in found] == [expected.get(c, (0, 99))[1] for c in "abc"]


@pytest.mark.parametrize(
    ("key", "partition", "expected"),
    [
        ("a/month=2026-01/x.csv", None, "2026-02-01"),
        ("a/month=2024-02/x.csv", None, "2024-03-01"),
        ("a/month=2025-12/country=de/x.csv", None, "2026-01-01"),
        ("a/date=2026-01-31/x.csv", None, "2026-02-01"),
        ("a/dt=2026-02-28/x.csv", None, "2026-03-01"),
        ("a/year=2024/x.csv", None, "2025-01-01"),
        ("a/year=2026/month=1/x.csv", None, "2026-02-01"),
        ("a/YEAR=2026/Month=1/x.csv", None, "2026-02-01"),
        ("a/year=2026/month=01/day=31/x.csv", None, "2026-02-01"),
        ("a/year=2026/month=2026-03/x.csv", None, "2026-04-01"),
        ("a/asof=2026-03/x.csv", "asof=2026-03", "2026-04-01"),
        ("a/ASOF=2026-03/x.csv", "asOf=2026-03", "2026-04-01"),
        # what is no date, none of the partition's, or not over yet, says the run's start
        ("a/asof=2026-03/x.csv", None, "2026-11-20T08:00:00"),
        ("a/month=2026-13/x.csv", None, "2026-11-20T08:00:00"),
        ("a/year=9999/x.csv", None, "2026-11-20T08:00:00"),
        ("a/month=2026-11/x.csv", None, "2026-11-20T08:00:00"),
        ("a/x.csv", None, "2026-11-20T08:00:00"),
    ],
)
def test_the_moment_is_the_partitions_end(key: str, partition: str | None, expected: str) -> None:
    made = bench((JANUARY, asked("a")))
    plan = made.plan_many(prefix="_data/tiny/")
    assert isinstance(plan, Plan)
    assert as_of(dataclasses.replace(plan, partition=partition), key) == moment(expected)


def test_a_single_file_takes_them_too() -> None:
    made = bench(
        ("tiny/month=2026-01/a.jsonl", asked("ann")),
        ("_features/tiny/a.parquet", history(KNOWN)),
    )
    assert scored(made, key="tiny/month=2026-01/a.jsonl") == [(None, "ann", 2, score_of(2, 0.25))]
    other = bench(("tiny/a.jsonl", asked("ann")), ("_features/tiny/a.parquet", history(KNOWN)))
    assert scored(other, key="tiny/a.jsonl") == [(None, "ann", 4, score_of(4, 0.125))]


def test_the_plan_pins_the_history() -> None:
    made = bench((JANUARY, asked("ann")), ("_features/tiny/a.parquet", history(KNOWN)))
    plan = made.plan_many(features="_features/tiny/", prefix="_data/tiny/")
    assert isinstance(plan, Plan) and plan.features is not None
    assert (plan.features.key, plan.features.size) == ("_features/tiny/", len(history(KNOWN)))
    assert plan_from(made.store.objects[plan.folder.plan]) == plan
    later = [{"customer": "ann", "at": moment("2026-01-30"), "visits": 8, "rate": 0.5}]
    made.inbox.put(BUCKET, "_features/tiny/a.parquet", history(later))
    assert scored(made, prefix="_data/tiny/") == [(JANUARY, "ann", 2, score_of(2, 0.25))]
    made.inbox.versions[BUCKET, "_features/tiny/a.parquet"].clear()
    (unit,) = made.units(plan)
    made.store.objects.pop(plan.folder.result(0))
    result = score_unit(
        unit,
        plan,
        model=lambda: MODEL,
        inbox=made.inbox,
        store=made.store,
        cells=made.cells,
        features=made.features,
        clock=lambda: 0.0,
    )
    assert (result["status"], result["reason"]) == (
        "failed",
        "_features/tiny/a.parquet: expected _features/tiny/a.parquet as it was planned, "
        "got another; it was deleted or overwritten",
    )


def without(name: str) -> bytes:
    table = arrow_io.read_parquet(io.BytesIO(history(KNOWN))).read_all()
    out = io.BytesIO()
    arrow_io.write_parquet(table.select([n for n in table.column_names if n != name]), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "refusal"),
    [
        ("a.csv", csv_bytes([row(1)]), "a.csv: expected Parquet, got csv"),
        ("a.parquet", without("at"), "a.parquet: at: expected one column of that name, got 0"),
        ("a.parquet", without("customer"), "a.parquet: customer: expected one column of that name"),
        ("a.parquet", history(KNOWN)[:-9], "a.parquet: expected Parquet, whole, got"),
        ("a.parquet", b"", "features: expected Parquet files in _features/tiny/"),
    ],
)
def test_what_is_no_history_refuses_the_run(name: str, body: bytes, refusal: str) -> None:
    made = bench((JANUARY, asked("ann")), (f"_features/tiny/{name}", body))
    plan = made.plan_many(features="_features/tiny/", prefix="_data/tiny/")
    assert isinstance(plan, RefusedPlan)
    (found,) = plan.refusals
    assert found.removeprefix("_features/tiny/").startswith(refusal)


def test_a_model_without_stored_features_has_no_history() -> None:
    made = Bench()
    made.inbox.put(BUCKET, "_data/tiny/a.csv", csv_bytes([row(1)]))
    plan = made.plan_many(features="_features/tiny/", prefix="_data/tiny/")
    assert isinstance(plan, RefusedPlan)
    assert plan.refusals[0].startswith("features: expected none, as the model has no stored")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_row_without_a_moment_fails_its_unit_by_name(bad: float) -> None:
    rows = [*KNOWN[:4], {**KNOWN[4], "at": bad}]
    made = bench((JANUARY, asked("ann")), ("_features/tiny/a.parquet", history(rows)))
    with pytest.raises(AssertionError, match=r"_features/tiny/a.parquet: row 4: at: expected a ti"):
        scored(made, prefix="_data/tiny/")
