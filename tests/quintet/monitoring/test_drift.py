"""Drift: counted by units in the baseline's bins, told from what chance makes, and shown."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from scipy.spatial.distance import jensenshannon
from tests.kits.batch import CONTRACT, Bench, jsonl_bytes, row

from quintet.batch.costs import estimate
from quintet.batch.plans import Plan
from quintet.batch.reports import report_run
from quintet.columns import Array
from quintet.contract import Contract, DriftRule, Feature, Scalar
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.drift import drift_of
from quintet.monitoring.drift_page import drift_section
from quintet.monitoring.samples import Reference, Sample
from quintet.monitoring.statistics import kolmogorov_tail

RANDOM = np.random.default_rng(7)
BEGUN = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def numbers() -> None:
    """Each test draws the same numbers, whichever ran before it."""
    RANDOM.bit_generator.state = BEGUN


def contract_of(dtype: str, default: Scalar | None = None, **other: Any) -> Contract:
    feature = Feature(name="f", dtype=dtype, default=default, **other)  # type: ignore[arg-type]
    return Contract(
        name="one",
        version=1,
        task="regression",
        features=(feature,),
        inputs=(),
        outputs=(),
    )


def drift(contract: Contract, before: Any, now: Array, units: int = 1) -> dict[str, Any]:
    """The drift of one feature from what it was to what it is."""
    reference = Reference(contract, baseline_of(contract, {"f": before}))
    documents = []
    for part in np.array_split(now, units):
        sample = Sample(reference, len(part))
        for chunk in np.array_split(part, 3):
            sample.add({"f": chunk}, np.arange(len(chunk)))
        documents.append((len(part), orjson.loads(orjson.dumps(sample.document()))))
    found = drift_of(reference, documents)
    assert found is not None
    return found


def told(contract: Contract, before: Any, now: Array, units: int = 1) -> dict[str, Any]:
    """The only feature of a drift."""
    (feature,) = drift(contract, before, now, units)["features"]
    return dict(feature)


def fired(feature: dict[str, Any]) -> list[str]:
    return [test["test"] for test in feature["tests"] if test["fires"]]


@pytest.mark.parametrize("rows", [30, 300, 30_000])
def test_data_that_have_not_changed_show_no_drift(rows: int) -> None:
    before = RANDOM.normal(size=5_000)
    found = told(contract_of("float32"), before, RANDOM.normal(size=rows).astype(np.float32), 3)
    assert (found["moved"], fired(found)) == (False, [])
    assert sum(found["actual"]) == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize(("moved", "distance"), [(0.4, 0.159), (1.0, 0.383), (-3.0, 0.866)])
def test_data_that_moved_show_it(moved: float, distance: float) -> None:
    before = RANDOM.normal(size=5_000)
    now = (RANDOM.normal(size=20_000) + moved).astype(np.float32)
    found = told(contract_of("float32"), before, now, 4)
    assert found["moved"] and "distribution" in fired(found)
    assert found["tests"][0]["effect"] == pytest.approx(distance, abs=0.02)
    assert len(found["bins"]) == len(found["expected"]) == 20


def test_few_rows_prove_nothing() -> None:
    before = RANDOM.normal(size=5_000)
    found = drift(contract_of("float32"), before, np.full(199, 9.0, dtype=np.float32))
    assert (found["rows"], found["too_few"], found["moved"]) == (199, True, 0)
    assert "too few rows to tell: at least 200 are needed" in drift_section(found)
    enough = drift(contract_of("float32"), before, np.full(200, 9.0, dtype=np.float32))
    assert (enough["too_few"], enough["moved"]) == (False, 1)


def test_a_difference_below_the_floor_is_none_however_many_rows_show_it() -> None:
    before = [0.0] * 60 + [1.0] * 40
    now = np.array([0.0] * 6_700 + [1.0] * 3_300, dtype=np.float32)
    found = told(contract_of("float32"), before * 100, now)
    assert (found["effect"], found["moved"]) == (pytest.approx(0.07, abs=0.001), False)
    assert found["p"] < 1e-9
    lower = replace(contract_of("float32"), drift=DriftRule(floor=0.05))
    assert told(lower, before * 100, now)["moved"]


def test_sizes_are_those_of_their_definitions() -> None:
    before = [0.0] * 60 + [1.0] * 40
    now = np.array([0.0] * 600 + [1.0] * 3_400, dtype=np.float32)
    found = told(contract_of("float32"), before, now)
    p, q = np.array([60.5, 40.5]) / 101, np.array([600.5, 3400.5]) / 4001
    assert found["stability_index"] == pytest.approx(np.sum((q - p) * np.log(q / p)), abs=1e-4)
    assert found["jensen_shannon"] == pytest.approx(jensenshannon(p, q, 2), abs=1e-4)
    assert (found["moved"], found["bins"]) == (True, ["below 1", "from 1"])


def test_each_value_is_in_the_bin_in_which_the_training_data_had_it() -> None:
    # in double precision 0.7 is another number than in single precision
    values = np.round(RANDOM.integers(0, 60, size=6_000) / 10, 1)
    found = told(contract_of("float32"), values, values.astype(np.float32)[:4_000])
    assert found["effect"] < 0.01
    whole = RANDOM.poisson(5.0, size=4_000)
    assert told(contract_of("int64"), whole, whole)["effect"] < 0.001


def test_a_constant_that_is_no_more_is_large() -> None:
    found = told(contract_of("float64"), [5.0] * 500, np.array([5.0] * 50 + [6.0] * 950))
    assert found["moved"]
    assert found["bins"] == ["below 5", "5", "above 5"]


def test_what_is_missing_counts_as_its_default() -> None:
    # a third is missing in the training data; a model is given 0.5 in its place
    before = [None if n % 3 == 0 else float(n) for n in range(3_000)]
    now = np.array([0.5 if n % 3 == 0 else n for n in range(3_000)], dtype=np.float32)
    assert told(contract_of("float32", default=0.5), before, now)["moved"] is False
    alone = told(contract_of("float32", default=0.5), before, now[now != 0.5])
    assert alone["moved"]


def test_what_is_missing_and_stays_nan_has_a_bin_of_its_own() -> None:
    contract = contract_of("float32", missing="nan")
    before = [None if n % 4 == 0 else float(n) for n in range(4_000)]
    now = np.array([np.nan if n % 4 == 0 else n for n in range(4_000)], dtype=np.float32)
    same = told(contract, before, now, 3)
    assert (same["moved"], same["bins"][-1]) == (False, "missing")
    assert (same["expected"][-1], same["actual"][-1]) == pytest.approx((0.25, 0.25), abs=0.001)
    assert len(same["bins"]) == len(same["expected"]) == len(same["actual"]) == 21
    assert fired(told(contract, before, now[~np.isnan(now)])) == ["missing"]
    gone = told(contract, before, np.full(300, np.nan, dtype=np.float32))
    assert (fired(gone), gone["effect"]) == (["missing"], 0.75)
    vectors = np.repeat(np.array([[1, np.nan], [2, 3]], dtype=np.float32), 300, axis=0)
    found = told(contract_of("float32", missing="nan", shape=(2,)), vectors, vectors)
    assert (found["effect"], found["expected"][-1]) == (0.0, pytest.approx(0.25, abs=0.01))
    codes = contract_of("float32", missing="nan", categories=(1, 2))
    told_codes = told(codes, [1.0, 2.0, None] * 300, np.array([1, 2, np.nan] * 300, np.float32))
    assert (told_codes["effect"], told_codes["bins"]) == (0.0, ["1", "2", "others", "missing"])


def test_categories_that_are_new_are_others() -> None:
    before = ["de"] * 50 + ["fr"] * 50
    now = np.array(["de"] * 500 + ["it"] * 500, dtype=object)
    found = told(contract_of("string"), before, now)
    assert (fired(found), found["bins"]) == (
        ["distribution", "unseen category"],
        ["de", "fr", "others"],
    )
    assert found["actual"] == pytest.approx([0.5, 0, 0.5], abs=0.001)
    assert [test["effect"] for test in found["tests"]] == [0.5, 0.5]
    flags = told(contract_of("bool"), [True, False] * 300, np.array([True, False] * 300))
    assert (flags["moved"], flags["effect"]) == (False, 0.0)
    codes = told(
        contract_of("int64", categories=(1, 2)), [1, 2] * 300, np.array([1, 2] * 300, np.int64)
    )
    assert (codes["effect"], codes["bins"]) == (0.0, ["1", "2", "others"])
    assert [test["test"] for test in codes["tests"]] == ["distribution"]


def test_texts_are_compared_by_length_and_vectors_by_their_numbers() -> None:
    texts = ["x" * (n % 60 + 1) + str(n) for n in range(600)]
    same = told(contract_of("string"), texts, np.array(texts, dtype=object))
    assert (same["kind"], same["moved"]) == ("text", False)
    longer = np.array([text * 3 for text in texts], dtype=object)
    assert told(contract_of("string"), texts, longer)["moved"]
    vectors = RANDOM.normal(size=(900, 4))
    found = told(contract_of("float32", shape=(4,)), vectors, vectors.astype(np.float32))
    assert not found["moved"]


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

    def counts(*bins: int) -> dict[str, Any]:
        feature = {"counts": list(bins), "outside": 0, "span": [0.0, 1.0]}
        return {"rows": sum(bins), "features": {"f": feature}, "entities": None}

    units = [
        (900, counts(10, 0)),
        (100, counts(0, 10)),
        (0, {"rows": 0, "features": {}, "entities": None}),
    ]
    found = drift_of(reference, units)
    assert found is not None
    # nine tenths, of the 12.2 rows of equal weight that say as much
    shares = (np.array([0.9, 0.1]) * 1000**2 / 82_000 + 0.5) / (1000**2 / 82_000 + 1)
    assert found["features"][0]["actual"] == pytest.approx(shares, abs=1e-5)
    assert drift_of(reference, []) is None
    assert drift_of(Reference(contract, {}), units) is None


def test_a_feature_that_is_frozen_is_named() -> None:
    before = RANDOM.normal(size=5_000)
    now = np.full(300, np.float32(before[0]))
    assert fired(told(contract_of("float32"), before, now)) == ["distribution", "frozen"]
    constant = told(contract_of("float32"), [5.0] * 500, np.full(300, 5.0, dtype=np.float32))
    assert (constant["moved"], fired(constant)) == (False, [])
    outside = told(contract_of("float32"), before, now + np.float32(100))
    assert fired(outside) == ["distribution", "out of range", "frozen"]


def test_categories_that_swapped_are_found() -> None:
    before = ["de"] * 700 + ["fr"] * 300
    now = np.array(["fr"] * 210 + ["de"] * 90, dtype=object)
    found = told(contract_of("string", categories=("de", "fr")), before, now)
    assert (fired(found), found["effect"]) == (["distribution"], 0.4)


def test_features_without_a_baseline_or_without_values_are_named() -> None:
    features = tuple(Feature(name=name, dtype="float32") for name in ("f", "g", "h"))
    contract = replace(contract_of("float32"), features=features)
    values = np.arange(300, dtype=np.float32)
    baseline = baseline_of(contract, {"f": values, "g": [None] * 300})
    reference = Reference(contract, baseline)
    sample = Sample(reference, 300)
    sample.add({"f": values, "g": values, "h": values}, np.arange(300))
    found = drift_of(reference, [(300, sample.document())])
    assert found is not None
    assert [one["feature"] for one in found["features"]] == ["f"]
    assert found["not_compared"] == ["g", "h"]


def entity_contract() -> Contract:
    return replace(contract_of("float32"), entity="customer")


def test_where_a_contract_has_an_entity_its_first_row_counts() -> None:
    contract = entity_contract()
    values = RANDOM.normal(size=1_000)
    names = [f"c{number}" for number in range(1_000)]
    reference = Reference(contract, baseline_of(contract, {"f": values}, names))
    # one customer, out of a thousand, sends nine of ten rows: it is one customer
    now = np.append(values, np.full(9_000, 2.0)).astype(np.float32)
    sample = Sample(reference, len(now))
    sample.add({"f": now}, np.arange(len(now)), [*names, *["c7"] * 9_000])
    found = drift_of(reference, [(len(now), sample.document())])
    assert found is not None
    assert (found["rows"], found["entities"], found["moved"]) == (5_000, 1_000, 0)
    (feature,) = found["features"]
    assert feature["by_rows"]["moved"] and feature["by_rows"]["effect"] > 0.8
    assert "counted by rows it moved" in drift_section(found)


def test_an_entity_counts_once_in_all_units_of_a_run() -> None:
    contract = entity_contract()
    names = [f"c{number}" for number in range(2_000)]
    values = RANDOM.normal(size=2_000).astype(np.float32)
    reference = Reference(contract, baseline_of(contract, {"f": values}, names))
    units = []
    for unit in range(4):  # each has all customers, twice
        sample = Sample(reference, 4_000, unit, 4)
        sample.add({"f": np.tile(values, 2)}, np.arange(4_000), names * 2)
        units.append((4_000, sample.document()))
    found = drift_of(reference, units)
    assert found is not None
    assert (found["entities"], found["moved"]) == (2_000, 0)
    without = Sample(reference, 2_000)
    without.add({"f": values}, np.arange(2_000), [None] * 2_000)
    assert without.document()["entities"]["rows"] == 2_000


def test_the_baseline_of_entities_has_the_first_row_of_each() -> None:
    contract = entity_contract()
    found = baseline_of(contract, {"f": [1.0, 2.0, 3.0, 4.0]}, ["a", "a", None, None])
    assert (found["rows"], found["entities"]["rows"]) == (4, 3)
    assert found["entities"]["features"]["f"]["edges"] == [1.0, 3.0, 4.0, 4.0]


def test_the_report_of_a_run_has_its_drift_and_its_cost() -> None:
    rows = [row(number) for number in range(1_000)]
    before = {name: [r[name] for r in rows] for name in ("amount", "visits", "country", "rate")}
    bench = Bench()
    bench.baseline = baseline_of(CONTRACT, before)
    moved = [row(number, amount=900.0) for number in range(1_000)]
    plan = bench.plan("tiny/a.jsonl", jsonl_bytes(moved), 20_000)
    assert isinstance(plan, Plan) and plan.units > 3
    bench.score(plan)
    report_run(
        plan.folder,
        store=bench.store,
        cells=bench.cells,
        clock=lambda: datetime(2026, 11, 20, tzinfo=UTC),
        reference=lambda plan: Reference(CONTRACT, bench.baseline),
        memory_mb=2048,
    )
    report = orjson.loads(bench.store.objects[plan.folder.report])
    found = report["drift"]
    assert (found["rows"], found["baseline_rows"], found["moved"]) == (1_000, 1_000, 1)
    assert {one["feature"]: one["moved"] for one in found["features"]} == {
        "amount": True,
        "visits": False,
        "country": False,
        "rate": False,
    }
    assert report["cost"] == estimate(units=plan.units, busy_seconds=0.0, memory_mb=2048)
    page = bench.store.objects[plan.folder.page].decode()
    assert "1 of 4 features moved" in page and "estimated cost" in page
    assert page.count('<rect class="was"') == sum(len(f["bins"]) for f in found["features"])


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
    contract = Contract(
        name="one",
        version=1,
        task="regression",
        features=tuple(Feature(name=f"<b>{n}", dtype="string") for n in range(30)),
        inputs=(),
        outputs=(),
    )
    columns = {feature.name: ["<i>"] * 300 for feature in contract.features}
    reference = Reference(contract, baseline_of(contract, columns))
    sample = Sample(reference, 300)
    now = {name: np.array(values, dtype=object) for name, values in columns.items()}
    sample.add(now, np.arange(300))
    text = drift_section(drift_of(reference, [(300, sample.document())]))
    assert "<b>" not in text and "<i>" not in text and "&lt;b&gt;10" in text
    assert "and 10 more" in text
    assert drift_section(None) == ""


def counted(*bins: int, outside: int = 0, entities: Any = None) -> dict[str, Any]:
    """What a unit counted of the feature."""
    feature = {"counts": list(bins), "outside": outside, "span": [0.0, 1.0]}
    return {"rows": sum(bins), "features": {"f": feature}, "entities": entities}


def halves(rule: DriftRule | None = None) -> Reference:
    """A reference whose feature was 0 in half of 100 rows, and 1 in the others."""
    contract = replace(contract_of("float32"), drift=rule or DriftRule())
    return Reference(contract, baseline_of(contract, {"f": [0.0, 1.0] * 50}))


def test_a_report_has_these_fields() -> None:
    """A quarter moved; seven of 400 are out of range, which chance makes in one report of five."""
    assert drift_of(halves(), [(400, counted(300, 100, outside=7))]) == {
        "rows": 400,
        "entities": None,
        "baseline_rows": 100,
        "too_few": False,
        "false_alarms": 0.01,
        "floor": 0.08,
        "moved": 1,
        "features": [
            {
                "feature": "f",
                "kind": "number",
                "moved": True,
                "effect": 0.25,
                "p": 0.0001816,
                "tests": [
                    {"test": "distribution", "effect": 0.25, "p": 0.0001816, "fires": True},
                    {"test": "out of range", "effect": 0.0175, "p": 0.1828, "fires": False},
                ],
                "stability_index": 0.2731,
                "jensen_shannon": 0.2203,
                "bins": ["below 1", "from 1"],
                "expected": [0.5, 0.5],
                "actual": [0.74938, 0.25062],
            }
        ],
        "outputs": [],
        "labels": [],
        "not_compared": [],
        "notes": [],
    }


def test_a_test_fires_at_its_false_alarms_and_above_the_floor() -> None:
    p = kolmogorov_tail(math.sqrt(400 * 100 / 500) * 0.25)
    unit = [(400, counted(300, 100))]
    rules = {
        DriftRule(false_alarms=p): 1,
        DriftRule(false_alarms=float(np.nextafter(p, 0))): 0,
        DriftRule(floor=0.25): 0,
        DriftRule(floor=float(np.nextafter(0.25, 0))): 1,
    }
    found = {rule: drift_of(halves(rule), unit) for rule in rules}
    assert {rule: one and one["moved"] for rule, one in found.items()} == rules


def test_effects_have_four_digits_and_units_weigh_what_is_out_of_range() -> None:
    found = drift_of(halves(), [(423, counted(300, 123))])
    assert found is not None
    assert found["features"][0]["effect"] == 0.2092
    units = [(900, counted(10, 0, outside=5)), (100, counted(0, 10, outside=1))]
    found = drift_of(halves(), units)
    assert found is not None
    assert [(test["test"], test["effect"]) for test in found["features"][0]["tests"]] == [
        ("distribution", 0.4),
        ("out of range", 0.46),
    ]


def test_units_before_stand_for_the_training_data() -> None:
    now, before = [(400, counted(300, 100))], [(900, counted(600, 300, outside=90))]
    found = drift_of(halves(), now, before)
    assert found is not None
    (feature,) = found["features"]
    assert (feature["expected"], feature["effect"]) == ([0.66648, 0.33352], 0.1)
    assert [(test["test"], test["effect"]) for test in feature["tests"]] == [
        ("distribution", 0.0833),
        ("out of range", 0.1),
    ]
    none = {"rows": 0, "features": {}, "entities": None}
    nothing = drift_of(halves(), now, [(0, none)])
    assert nothing is not None
    assert (nothing["features"], nothing["not_compared"], nothing["moved"]) == ([], ["f"], 0)
    assert drift_of(halves(), [(0, none)], before) is None


def test_entities_before_stand_for_those_of_the_training_data() -> None:
    contract = entity_contract()
    reference = Reference(contract, baseline_of(contract, {"f": [0.0, 1.0] * 50}))
    now = [(400, counted(300, 100, entities=counted(150, 50)))]
    before = [
        (500, counted(250, 250, entities=counted(300, 100))),
        (10, counted(10, 0, entities=counted(0, 0))),
    ]
    found = drift_of(reference, now, before)
    assert found is not None
    (feature,) = found["features"]
    assert (found["rows"], found["entities"], found["moved"]) == (400, 200, 0)
    assert (feature["effect"], feature["by_rows"]["moved"]) == (0.0, True)
    assert feature["by_rows"] == {"moved": True, "effect": 0.2402, "p": 1.167e-11}
