"""Drift: counted by units in the baseline's bins, told from what chance makes, shown as bars."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from tests.kits.batch import CONTRACT, Bench, jsonl_bytes, row

from quintet.batch.costs import estimate
from quintet.batch.plans import Plan
from quintet.batch.reports import report_run
from quintet.columns import Array
from quintet.contract import Contract, Feature, Scalar
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.drift import Reference, Sample, drift_of
from quintet.monitoring.drift_page import drift_section

RANDOM = np.random.default_rng(7)


def contract_of(dtype: str, default: Scalar | None = None, **other: Any) -> Contract:
    feature = Feature(name="f", dtype=dtype, default=default, **other)  # type: ignore[arg-type]
    return Contract(
        name="one", version=1, task="regression", features=(feature,), inputs=(), outputs=()
    )


def told(contract: Contract, before: Any, now: Array, units: int = 1) -> dict[str, Any]:
    """The drift of one feature from what it was to what it is."""
    reference = Reference(contract, baseline_of(contract, {"f": before}))
    documents = []
    for part in np.array_split(now, units):
        sample = Sample(reference, len(part))
        for chunk in np.array_split(part, 3):
            sample.add({"f": chunk}, np.arange(len(chunk)))
        documents.append((len(part), orjson.loads(orjson.dumps(sample.document()))))
    drift = drift_of(reference, documents)
    assert drift is not None
    (feature,) = drift["features"]
    return dict(feature)


@pytest.mark.parametrize("rows", [30, 300, 30_000])
def test_data_that_have_not_changed_show_no_drift(rows: int) -> None:
    before = RANDOM.normal(size=5_000)
    found = told(contract_of("float32"), before, RANDOM.normal(size=rows).astype(np.float32), 3)
    assert found["level"] == "none" and found["index"] < found["chance"]
    assert sum(found["actual"]) == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize(("moved", "level"), [(0.4, "some"), (1.0, "large"), (-3.0, "large")])
def test_data_that_moved_show_it(moved: float, level: str) -> None:
    before = RANDOM.normal(size=5_000)
    now = (RANDOM.normal(size=20_000) + moved).astype(np.float32)
    found = told(contract_of("float32"), before, now, 4)
    assert found["level"] == level
    assert len(found["bins"]) == len(found["expected"]) == 20


def test_few_rows_prove_nothing() -> None:
    before = RANDOM.normal(size=5_000)
    found = told(contract_of("float32"), before, np.array([0.0, 0.5, 1.0], dtype=np.float32))
    assert found["level"] == "none" and found["chance"] > 5


def test_the_index_is_that_of_its_definition() -> None:
    before = [0.0] * 60 + [1.0] * 40
    now = np.array([0.0] * 6_000 + [1.0] * 34_000, dtype=np.float32)[::10]
    found = told(contract_of("float32"), before, now)
    p, q = np.array([60.5, 40.5]) / 101, np.array([600.5, 3400.5]) / 4001
    assert found["index"] == pytest.approx(np.sum((q - p) * np.log(q / p)), abs=1e-4)
    assert (found["level"], found["bins"]) == ("large", ["below 1", "from 1"])


def test_each_value_is_in_the_bin_in_which_the_training_data_had_it() -> None:
    # in double precision 0.7 is another number than in single precision
    values = np.round(RANDOM.integers(0, 60, size=6_000) / 10, 1)
    found = told(contract_of("float32"), values, values.astype(np.float32)[:4_000])
    assert found["index"] < 0.01
    whole = RANDOM.poisson(5.0, size=4_000)
    assert told(contract_of("int64"), whole, whole)["index"] < 0.001


def test_a_constant_that_is_no_more_is_large() -> None:
    found = told(contract_of("float64"), [5.0] * 500, np.array([5.0] * 50 + [6.0] * 950))
    assert found["level"] == "large"
    assert found["bins"] == ["below 5", "5", "above 5"]


def test_what_is_missing_counts_as_its_default() -> None:
    # a third is missing in the training data; a model is given 0.5 in its place
    before = [None if n % 3 == 0 else float(n) for n in range(3_000)]
    now = np.array([0.5 if n % 3 == 0 else n for n in range(3_000)], dtype=np.float32)
    assert told(contract_of("float32", default=0.5), before, now)["level"] == "none"
    alone = told(contract_of("float32", default=0.5), before, now[now != 0.5])
    assert alone["level"] == "large"


def test_what_is_missing_and_stays_nan_has_a_bin_of_its_own() -> None:
    contract = contract_of("float32", missing="nan")
    before = [None if n % 4 == 0 else float(n) for n in range(4_000)]
    now = np.array([np.nan if n % 4 == 0 else n for n in range(4_000)], dtype=np.float32)
    same = told(contract, before, now, 3)
    assert (same["level"], same["bins"][-1]) == ("none", "missing")
    assert (same["expected"][-1], same["actual"][-1]) == pytest.approx((0.25, 0.25), abs=0.001)
    assert len(same["bins"]) == len(same["expected"]) == len(same["actual"]) == 21
    assert told(contract, before, now[~np.isnan(now)])["level"] == "large"
    vectors = np.repeat(np.array([[1, np.nan], [2, 3]], dtype=np.float32), 300, axis=0)
    found = told(contract_of("float32", missing="nan", shape=(2,)), vectors, vectors)
    assert (found["index"], found["expected"][-1]) == (0.0, pytest.approx(0.25, abs=0.001))
    codes = contract_of("float32", missing="nan", categories=(1, 2))
    told_codes = told(codes, [1.0, 2.0, None] * 300, np.array([1, 2, np.nan] * 300, np.float32))
    assert (told_codes["index"], told_codes["bins"]) == (0.0, ["1", "2", "others", "missing"])


def test_categories_that_are_new_are_others() -> None:
    before = ["de"] * 50 + ["fr"] * 50
    now = np.array(["de"] * 500 + ["it"] * 500, dtype=object)
    found = told(contract_of("string"), before, now)
    assert (found["level"], found["bins"]) == ("large", ["de", "fr", "others"])
    assert found["actual"] == pytest.approx([0.5, 0, 0.5], abs=0.001)
    flags = told(contract_of("bool"), [True, False] * 300, np.array([True, False] * 300))
    assert (flags["level"], flags["index"]) == ("none", 0.0)
    codes = told(
        contract_of("int64", categories=(1, 2)), [1, 2] * 300, np.array([1, 2] * 300, np.int64)
    )
    assert (codes["index"], codes["bins"]) == (0.0, ["1", "2", "others"])


def test_texts_are_compared_by_length_and_vectors_by_their_numbers() -> None:
    texts = ["x" * (n % 60 + 1) + str(n) for n in range(600)]
    same = told(contract_of("string"), texts, np.array(texts, dtype=object))
    assert (same["kind"], same["level"]) == ("text", "none")
    longer = np.array([text * 3 for text in texts], dtype=object)
    assert told(contract_of("string"), texts, longer)["level"] == "large"
    vectors = RANDOM.normal(size=(900, 4))
    found = told(contract_of("float32", shape=(4,)), vectors, vectors.astype(np.float32))
    assert found["level"] == "none"


def test_what_is_sensitive_is_not_named() -> None:
    contract = contract_of("string", categories=("canary", "other"), sensitive=True)
    found = told(contract, ["canary", "other"] * 50, np.array(["canary"] * 100, dtype=object))
    assert "canary" not in str(found)


def test_a_large_unit_looks_at_some_of_its_rows() -> None:
    contract = contract_of("float32")
    reference = Reference(contract, baseline_of(contract, {"f": [1.0, 2.0, 3.0]}))
    sample = Sample(reference, 1_000_000)
    values = {"f": np.ones(8192, dtype=np.float32)}
    for _ in range(122):
        sample.add(values, np.arange(8192))
    assert 4_000 < sample.document()["rows"] < 5_000


def test_units_weigh_what_they_scored() -> None:
    contract = contract_of("float32")
    reference = Reference(contract, baseline_of(contract, {"f": [0.0, 1.0] * 50}))
    units = [
        (900, {"rows": 10, "features": {"f": [10, 0]}}),
        (100, {"rows": 10, "features": {"f": [0, 10]}}),
        (0, {"rows": 0, "features": {}}),
    ]
    drift = drift_of(reference, units)
    assert drift is not None
    # nine tenths, drawn to the middle by the half row that keeps shares from zero
    assert drift["features"][0]["actual"] == pytest.approx([18.5 / 21, 2.5 / 21], abs=1e-5)
    assert drift_of(reference, []) is None
    assert drift_of(Reference(contract, {}), units) is None


def test_the_report_of_a_run_has_its_drift_and_its_cost() -> None:
    rows = [row(number) for number in range(400)]
    before = {name: [r[name] for r in rows] for name in ("amount", "visits", "country", "rate")}
    bench = Bench()
    bench.baseline = baseline_of(CONTRACT, before)
    moved = [row(number, amount=900.0) for number in range(400)]
    plan = bench.plan("tiny/a.jsonl", jsonl_bytes(moved), 4_000)
    assert isinstance(plan, Plan) and plan.units > 3
    bench.score(plan)
    report_run(
        plan.folder,
        store=bench.store,
        clock=lambda: datetime(2026, 11, 20, tzinfo=UTC),
        reference=lambda plan: Reference(CONTRACT, bench.baseline),
        memory_mb=2048,
    )
    report = orjson.loads(bench.store.objects[plan.folder.report])
    drift = report["drift"]
    assert (drift["rows"], drift["baseline_rows"], drift["large"], drift["some"]) == (
        400,
        400,
        1,
        0,
    )
    levels = {feature["feature"]: feature["level"] for feature in drift["features"]}
    assert levels == {"amount": "large", "visits": "none", "country": "none", "rate": "none"}
    assert report["cost"] == estimate(units=plan.units, busy_seconds=0.0, memory_mb=2048)
    page = bench.store.objects[plan.folder.page].decode()
    assert "1 large" in page and "estimated cost" in page
    assert page.count('<rect class="was"') == sum(len(f["bins"]) for f in drift["features"])


def test_costs_follow_from_their_parts() -> None:
    found = estimate(units=100, busy_seconds=1000.0, memory_mb=2048)
    assert found["gb_seconds"] == 2000
    assert found["parts"] == {
        "lambda": pytest.approx(0.033333 + 102 * 2e-7, abs=1e-6),
        "step_functions": pytest.approx(209 * 2.5e-5),
        "s3": pytest.approx(100 * (8 * 4e-7 + 3 * 5e-6)),
    }
    assert found["usd"] == pytest.approx(sum(found["parts"].values()), abs=2e-6)
    assert "estimate" in found["prices"]


def test_the_section_escapes_what_models_hold() -> None:
    feature = {
        "feature": "<b>",
        "level": "large",
        "index": 1.0,
        "bins": ["<i>"],
        "expected": [0.5],
        "actual": [0.5],
    }
    drift = {"rows": 1, "baseline_rows": 1, "large": 1, "some": 0, "features": [feature] * 30}
    text = drift_section(drift)
    assert "<b>" not in text and "<i>" not in text
    assert "and 10 more" in text
    assert drift_section(None) == ""
