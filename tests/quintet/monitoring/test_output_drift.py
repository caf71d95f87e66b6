"""Drift of outputs and labels, in one family of tests with the features."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from tests.kits.batch import CONTRACT, Bench, jsonl_bytes, row

from quintet.batch.plans import Plan
from quintet.batch.reports import report_run
from quintet.columns import Array
from quintet.contract import Contract, Feature, Output
from quintet.monitoring.baseline import baseline_of, outputs_of, with_outputs
from quintet.monitoring.drift import compared, drift_of
from quintet.monitoring.drift_page import drift_section
from quintet.monitoring.outputs import output_columns, output_values
from quintet.monitoring.samples import Reference, Sample, count_labels

RANDOM = np.random.default_rng(11)
BEGUN = RANDOM.bit_generator.state
CLASSES = ("kept", "lost")
OUTPUTS = (
    Output(name="label", dtype="int64", shape=(-1,), meaning="label", classes=CLASSES),
    Output(name="p", dtype="float32", shape=(-1, 2), meaning="probabilities", classes=CLASSES),
)


@pytest.fixture(autouse=True)
def numbers() -> None:
    """Each test draws the same numbers, whichever ran before it."""
    RANDOM.bit_generator.state = BEGUN


def contract_of(*outputs: Output, entity: str | None = None) -> Contract:
    return Contract(
        name="one",
        version=2,
        task="classification",
        features=(Feature(name="f", dtype="float32"),),
        inputs=(),
        outputs=outputs,
        entity=entity,
    )


def scored(values: Array) -> dict[str, Array]:
    """The outputs of a model of two classes for its feature."""
    p = 1 / (1 + np.exp(-values))
    return {
        "label": (p > 0.5).astype(np.int64),
        "p": np.column_stack([1 - p, p]).astype(np.float32),
    }


def reference_of(
    contract: Contract, features: Array, outputs: dict[str, Array], labels: Any = None
) -> Reference:
    baseline = baseline_of(contract, {"f": features}, None, labels)
    return Reference(contract, with_outputs(baseline, outputs_of(contract, outputs), None))


def day(reference: Reference, features: Array, outputs: dict[str, Array]) -> tuple[int, Any]:
    """What is counted of rows."""
    rows = len(features)
    sample = Sample(reference, rows)
    columns = output_values(reference.contract, outputs)
    for part in np.array_split(np.arange(rows), 3):
        some = {name: values[part] for name, values in columns.items()}
        sample.add({"f": features}, part, None, some)
    return rows, orjson.loads(orjson.dumps(sample.document()))


def test_outputs_are_tested_with_the_features() -> None:
    before = RANDOM.normal(size=2_000).astype(np.float32)
    reference = reference_of(contract_of(*OUTPUTS), before, scored(before))
    now = RANDOM.normal(size=1_000).astype(np.float32)
    same = drift_of(reference, [day(reference, now, scored(now))])
    assert same is not None
    assert (same["moved"], same["not_compared"], same["notes"]) == (0, [], [])
    assert {title for title, _ in compared(same)} == {"f", "output label", "output p_lost"}
    assert "0 of 1 features, 0 of 2 outputs moved" in drift_section(same)
    # another graph, or other rounding upstream: the features are as they were
    found = drift_of(reference, [day(reference, now, scored(now + 1))])
    assert found is not None
    assert [(title, one["moved"]) for title, one in compared(found)] == [
        ("output p_lost", True),
        ("output label", True),
        ("f", False),
    ]
    label = next(one for one in found["outputs"] if one["output"] == "label")
    assert (label["kind"], sorted(label["bins"])) == ("category", ["kept", "lost", "others"])
    assert "<code>output p_lost</code>" in drift_section(found)


def test_all_tests_of_a_report_are_one_family() -> None:
    before = RANDOM.normal(size=2_000).astype(np.float32)
    now = before[:300] + np.float32(0.2)
    alone = Reference(contract_of(), baseline_of(contract_of(), {"f": before}))
    both = reference_of(contract_of(*OUTPUTS), before, scored(before))
    one = drift_of(alone, [day(alone, now, {})])
    other = drift_of(both, [day(both, now, scored(now))])
    assert one is not None and other is not None
    (p,), features = [test["p"] for test in one["features"][0]["tests"]], other["features"]
    assert features[0]["p"] > p  # each further test makes every one harder


def test_a_version_from_before_outputs_says_what_to_do() -> None:
    contract = contract_of(*OUTPUTS)
    values = RANDOM.normal(size=400).astype(np.float32)
    reference = Reference(contract, baseline_of(contract, {"f": values}))
    found = drift_of(reference, [day(reference, values, scored(values))])
    assert found is not None
    assert (found["outputs"], found["not_compared"]) == ([], [])
    (note,) = found["notes"]
    assert note.startswith("no baseline for outputs: raise `version` in model.yaml, and publish")
    assert note.split(":")[0] in drift_section(found)
    # counts that were stored before outputs were counted
    rows, document = day(reference, values, {})
    del document["outputs"]
    assert drift_of(reference, [(rows, document)]) == found


def test_noise_of_a_computed_number_is_no_drift() -> None:
    contract = contract_of(Output(name="y", dtype="float32", shape=(-1,), meaning="value"))
    leaves = np.array([0.1, 0.31, 0.7, 31_000.0], dtype=np.float32)
    features = np.zeros(2_000, dtype=np.float32)
    reference = reference_of(contract, features, {"y": np.repeat(leaves, 500)})
    for noise in (1 - 1e-6, 1 + 1e-6):
        found = drift_of(
            reference, [day(reference, features, {"y": np.repeat(leaves, 500) * np.float32(noise)})]
        )
        assert found is not None
        assert [test["effect"] for test in found["outputs"][0]["tests"]] == [0.0]
    constant = reference_of(contract, features, {"y": np.full(2_000, 0.31, np.float32)})
    same = drift_of(constant, [day(constant, features, {"y": np.full(2_000, 0.3100001)})])
    moved = drift_of(constant, [day(constant, features, {"y": np.full(2_000, 0.32)})])
    assert same is not None and moved is not None
    assert (same["moved"], moved["outputs"][0]["moved"]) == (0, True)


def test_outputs_become_columns_by_their_meaning() -> None:
    def columns(output: Output) -> dict[str, tuple[int, ...]]:
        return {c.feature.name: c.feature.shape for c in output_columns(contract_of(output))}

    def output(meaning: Any, *shape: int, dtype: Any = "float32", **other: Any) -> Output:
        return Output(name="o", dtype=dtype, shape=(-1, *shape), meaning=meaning, **other)

    assert columns(output("score")) == {"o": ()}
    assert columns(output("value", 1)) == {"o": ()}
    assert columns(output("value", 3)) == {"o": (3,)}
    assert columns(output("embedding", 64)) == {"o": (64,)}
    assert columns(output("probabilities", 2)) == {"o_1": ()}
    three = output("probabilities", 3, classes=("a", "b", "c"))
    assert columns(three) == {"o_a": (), "o_b": (), "o_c": ()}
    assert columns(output("probabilities", 500)) == {"o": (500,)}
    assert columns(output("value", -1, max=9)) == {}
    assert columns(output("value", 3, dtype="string")) == {}
    batch = {"o": np.arange(6.0).reshape(2, 3)}
    assert {
        name: found.tolist() for name, found in output_values(contract_of(three), batch).items()
    }
    values = output_values(contract_of(three), batch)
    assert {name: found.tolist() for name, found in values.items()} == {
        "o_a": [0.0, 3.0],
        "o_b": [1.0, 4.0],
        "o_c": [2.0, 5.0],
    }


def test_vectors_and_missing_numbers_of_outputs_are_compared() -> None:
    contract = contract_of(
        Output(name="e", dtype="float32", shape=(-1, 4), meaning="embedding"),
        Output(name="v", dtype="float64", shape=(-1,), meaning="value", finite=False),
    )
    features = np.zeros(1_000, dtype=np.float32)

    def outputs(shift: float, gaps: int) -> dict[str, Array]:
        values = RANDOM.normal(size=1_000)
        values[:gaps] = np.nan
        return {"e": RANDOM.normal(shift, size=(1_000, 4)).astype(np.float32), "v": values}

    reference = reference_of(contract, features, outputs(0, 100))
    same = drift_of(reference, [day(reference, features, outputs(0, 100))])
    moved = drift_of(reference, [day(reference, features, outputs(1, 500))])
    assert same is not None and moved is not None
    assert same["moved"] == 0
    fired = {
        one["output"]: [test["test"] for test in one["tests"] if test["fires"]]
        for one in moved["outputs"]
    }
    assert (fired["e"], fired["v"]) == (["distribution"], ["missing"])


def labelled(reference: Reference, values: list[Any], entities: Any = None) -> tuple[int, Any]:
    kind = object if isinstance(values[0], str) else np.float64
    found = count_labels(reference, np.array(values, dtype=kind), entities)
    return len(values), orjson.loads(orjson.dumps(found))


def test_labels_that_came_are_tested_too() -> None:
    contract, before = contract_of(*OUTPUTS), RANDOM.normal(size=2_000).astype(np.float32)
    told = ["kept", "kept", "lost", None] * 500
    reference = reference_of(contract, before, scored(before), told)
    assert reference.baseline["labels"]["rows"] == 1_500
    rows = day(reference, before, scored(before))
    same = drift_of(reference, [rows, labelled(reference, ["kept", "kept", "lost"] * 100)])
    moved = drift_of(reference, [rows, labelled(reference, ["lost"] * 200)])
    few = drift_of(reference, [rows, labelled(reference, ["lost"] * 199)])
    assert same is not None and moved is not None and few is not None
    assert [one["moved"] for found in (same, moved, few) for one in found["labels"]] == [
        False,
        True,
        False,
    ]
    assert (moved["rows"], moved["moved"], moved["labels"][0]["rows"]) == (2_000, 1, 200)
    assert moved["labels"][0]["bins"] == ["kept", "lost", "others"]
    assert "0 of 1 features, 0 of 2 outputs, 1 of 1 labels moved" in drift_section(moved)
    assert "199 labels, too few: at least 200 are needed" in drift_section(few)


def test_labels_that_are_numbers_are_compared_by_their_distribution() -> None:
    contract = contract_of(Output(name="y", dtype="float32", shape=(-1,), meaning="value"))
    values = RANDOM.normal(size=1_000)
    ones = np.ones(1_000, dtype=np.float32)
    reference = reference_of(contract, ones, {"y": ones}, values.tolist())
    rows = day(reference, ones, {"y": ones})
    same = drift_of(reference, [rows, labelled(reference, RANDOM.normal(size=500).tolist())])
    moved = drift_of(reference, [rows, labelled(reference, (values[:500] + 1).tolist())])
    assert same is not None and moved is not None
    assert (same["labels"][0]["moved"], moved["labels"][0]["moved"]) == (False, True)


def test_an_entity_counts_once_among_labels() -> None:
    contract = contract_of(*OUTPUTS, entity="customer")
    before = RANDOM.normal(size=2_000).astype(np.float32)
    reference = reference_of(contract, before, scored(before), ["kept", "kept", "lost"] * 700)
    names = [f"c{number}" for number in range(300)]
    rows, document = day(reference, before, scored(before))
    document["entities"] = {k: document[k] for k in ("rows", "features", "outputs")}
    # one of 300 customers sends nine of ten labels
    labels = [*["kept", "kept", "lost"] * 100, *["lost"] * 2_700]
    counted = labelled(reference, labels, [*names, *["c7"] * 2_700])
    found = drift_of(reference, [(rows, document), counted])
    assert found is not None
    (one,) = found["labels"]
    assert (one["rows"], one["moved"], one["by_rows"]["moved"]) == (300, False, True)


def test_the_report_of_a_run_tests_its_outputs() -> None:
    rows = [row(number) for number in range(1_000)]
    before = {name: [r[name] for r in rows] for name in ("amount", "visits", "country", "rate")}
    bench = Bench()
    baseline = baseline_of(CONTRACT, before)
    outputs = {
        output.name: RANDOM.normal(size=(1_000, *output.row_shape)).astype(np.float32)
        for output in CONTRACT.outputs
        if output.dtype == "float32"
    }
    bench.baseline = with_outputs(baseline, outputs_of(CONTRACT, outputs), None)
    plan = bench.plan("tiny/a.jsonl", jsonl_bytes(rows), 20_000)
    assert isinstance(plan, Plan) and plan.units > 3
    bench.score(plan)
    report_run(
        plan.folder,
        store=bench.store,
        cells=bench.cells,
        clock=lambda: datetime(2026, 11, 20, tzinfo=UTC),
        reference=lambda plan: Reference(CONTRACT, bench.baseline),
    )
    found = orjson.loads(bench.store.objects[plan.folder.report])["drift"]
    names = {column.feature.name for column in output_columns(CONTRACT)}
    told = {one["output"]: one["moved"] for one in found["outputs"]}
    assert told and set(told) <= names and all(told.values())
    assert {f"output {name}" for name in names - set(told)} <= set(found["not_compared"])
    assert found["moved"] == len(told)


@pytest.mark.parametrize("rows", [1, 7])
def test_a_row_of_an_output_is_that_of_its_features(rows: int) -> None:
    contract = contract_of(Output(name="y", dtype="float32", shape=(-1,), meaning="value"))
    values = np.arange(100, dtype=np.float32)
    reference = reference_of(contract, values, {"y": values})
    sample = Sample(reference, rows * 4096)  # looks at one of so many
    index = np.arange(50, 50 + 3 * rows)  # some rows of a batch were refused
    sample.add({"f": values}, index, None, {"y": values[index]})
    found = sample.document()
    assert found["rows"] == 3
    assert found["features"]["f"]["counts"] == found["outputs"]["y"]["counts"]
