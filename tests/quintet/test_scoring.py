"""The scoring core on a model written in numpy: results, refusals, fallback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from quintet.columns import Array, from_records
from quintet.contract import Contract, Fallback, FallbackRule, Feature, Input, Output
from quintet.errors import ModelFailure, Transient
from quintet.features import MemoryFeatures, join, unavailable
from quintet.scoring import score

ROOT = Path(__file__).parents[2]


def contract(when_stale: str = "fallback") -> Contract:
    return Contract(
        name="risk",
        version=1,
        task="t",
        entity="card",
        features=(
            Feature(name="amount", dtype="float32", range=(0.0, 1000.0)),
            Feature(name="country", dtype="string", categories=("FR", "DE")),
            Feature(
                name="orders",
                dtype="float32",
                source="store",
                range=(1.0, None),
                max_age=60.0,
                default=5.0 if when_stale == "default" else None,
                when_stale=when_stale,  # type: ignore[arg-type]
            ),
        ),
        inputs=(
            Input(name="x", dtype="float32", shape=(-1, 2), features=("amount", "orders")),
            Input(name="country", dtype="string", shape=(-1, 1)),
        ),
        outputs=(
            Output(name="label", dtype="int64", shape=(-1,), meaning="label"),
            Output(name="p", dtype="float32", shape=(-1, 2), meaning="probabilities"),
        ),
        fallback=Fallback(
            otherwise={"label": 0, "p": [0.9, 0.1]},
            rules=(
                FallbackRule(feature="amount", above=100, outputs={"label": 1, "p": [0.2, 0.8]}),
                FallbackRule(feature="amount", above=10, outputs={"label": 1, "p": [0.5, 0.5]}),
            ),
        ),
    )


class Sum:
    """p = (1 - s, s) with s = amount / orders / 1000; the label is s > 0.5."""

    def __init__(self, of: Contract) -> None:
        self.contract = of
        self.runs: list[int] = []

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        x = feeds["x"]
        assert feeds["country"].shape == (len(x), 1)
        self.runs.append(len(x))
        s = x[:, 0] / x[:, 1] / np.float32(1000)
        results = {"label": (s > 0.5).astype(np.int64), "p": np.stack([1 - s, s], axis=1)}
        return [results[name] for name in outputs]


def store(now: float) -> MemoryFeatures:
    source = MemoryFeatures()
    source.put("card", "fresh", "orders", 2.0, now - 10)
    source.put("card", "old", "orders", 4.0, now - 100)
    return source


def records(*rows: tuple[str, float, str]) -> list[dict[str, object]]:
    return [{"card": c, "amount": a, "country": k} for c, a, k in rows]


ROWS = records(
    ("fresh", 1000, "FR"),
    ("old", 500, "FR"),
    ("none", 5, "DE"),
    ("fresh", 2000, "FR"),
    ("fresh", 20, "XX"),
    ("none", 50, "DE"),
    ("fresh", 100, "DE"),
)


def test_one_run_with_fallback_rows_and_refused_rows_in_their_places() -> None:
    model = Sum(contract())
    joined = join(model.contract, from_records(model.contract, ROWS), store(1000.0), 1000.0)
    scores = score(model, joined.batch, fallback=joined.fallback)
    assert model.runs == [2]
    assert scores.index.tolist() == [0, 1, 2, 5, 6]
    assert scores.fallback.tolist() == [False, True, True, True, False]
    assert scores.outputs["label"].tolist() == [0, 1, 0, 1, 0]
    assert scores.outputs["p"].astype(float).round(3).tolist() == [
        [0.5, 0.5],
        [0.2, 0.8],
        [0.9, 0.1],
        [0.5, 0.5],
        [0.95, 0.05],
    ]
    assert [str(r) for r in scores.refusals] == [
        "row 3: amount: expected a number from 0 to 1000, got 2000.0",
        "row 4: country: expected one of FR, DE, got 'XX'",
    ]
    assert joined.ages[:2, 0].tolist() == [10.0, 100.0]
    assert np.isnan(joined.ages[2, 0])


@pytest.mark.parametrize(
    ("when_stale", "used", "refused"),
    [
        ("serve", {0: 2.0, 1: 4.0}, ["row 2: orders: expected a stored value no older than 60 s"]),
        ("default", {0: 2.0, 1: 5.0, 2: 5.0}, []),
        (
            "refuse",
            {0: 2.0},
            [
                "row 1: orders: expected a stored value no older than 60 s, got one 100 s old",
                "row 2: orders: expected a stored value no older than 60 s, got nothing",
            ],
        ),
    ],
)
def test_each_way_of_an_old_or_missing_value(
    when_stale: str, used: dict[int, float], refused: list[str]
) -> None:
    of = contract(when_stale)
    batch = from_records(of, ROWS[:3])
    joined = join(of, batch, store(0.0), 0.0)
    scores = score(Sum(of), joined.batch, fallback=joined.fallback, outputs=["p"])
    assert scores.index.tolist() == list(used)
    amounts = np.array([1000, 500, 5], np.float32)[scores.index]
    expected = amounts / np.array(list(used.values()), np.float32) / 1000
    np.testing.assert_allclose(scores.outputs["p"][:, 1], expected, rtol=1e-6)
    assert len(scores.refusals) == len(refused)
    for refusal, words in zip(scores.refusals, refused, strict=True):
        assert str(refusal).startswith(words)


def test_result_i_of_a_batch_equals_the_single_result_i() -> None:
    of = contract()
    source = store(0.0)
    rows = [row for row in ROWS if row["country"] != "XX" and row["amount"] != 2000]
    whole = join(of, from_records(of, rows), source, 0.0)
    together = score(Sum(of), whole.batch, fallback=whole.fallback)
    for position, row in enumerate(rows):
        single = join(of, from_records(of, [row]), source, 0.0)
        alone = score(Sum(of), single.batch, fallback=single.fallback)
        np.testing.assert_array_equal(alone.outputs["p"][0], together.outputs["p"][position])


def test_an_unavailable_store_means_the_rule_answers_every_row() -> None:
    model = Sum(contract())
    joined = unavailable(model.contract, from_records(model.contract, ROWS[:3]))
    scores = score(model, joined.batch, fallback=joined.fallback)
    assert model.runs == []
    assert scores.fallback.tolist() == [True, True, True]
    assert scores.outputs["label"].tolist() == [1, 1, 0]
    assert scores.refusals == []


def test_an_unavailable_store_without_a_rule_is_transient() -> None:
    of = contract("refuse")
    bare = Contract(
        name="bare",
        version=1,
        task="t",
        entity="card",
        features=of.features,
        inputs=of.inputs,
        outputs=of.outputs,
    )
    with pytest.raises(Transient):
        unavailable(bare, from_records(bare, ROWS[:1]))


PLAIN = Contract(
    name="plain",
    version=1,
    task="t",
    features=(Feature(name="x", dtype="float32"),),
    inputs=(Input(name="x", dtype="float32", shape=(-1,)),),
    outputs=(Output(name="y", dtype="float32", shape=(-1,), meaning="value"),),
)


class Root:
    """The square root: NaN below zero."""

    contract = PLAIN
    dtype = np.float32

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        with np.errstate(invalid="ignore"):
            return [np.sqrt(feeds["x"]).astype(self.dtype)]


def test_a_row_whose_output_is_not_finite_is_refused_and_the_others_kept() -> None:
    batch = from_records(PLAIN, [{"x": 4}, {"x": -1}, {"x": 9}])
    scores = score(Root(), batch)
    assert scores.index.tolist() == [0, 2]
    assert scores.outputs["y"].tolist() == [2.0, 3.0]
    assert [str(r) for r in scores.refusals] == ["row 1: y: expected a finite output, got nan"]


def test_no_rows_give_no_scores() -> None:
    scores = score(Root(), from_records(PLAIN, []))
    assert (scores.index.tolist(), scores.outputs["y"].shape, scores.refusals) == ([], (0,), [])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_an_input_that_is_not_finite_is_refused(value: float) -> None:
    scores = score(Root(), from_records(PLAIN, [{"x": value}, {"x": 1}]))
    assert scores.index.tolist() == [1]
    assert [(r.row, r.field, r.expected) for r in scores.refusals] == [
        (0, "x", "a finite number (float32)")
    ]


def test_an_output_that_is_not_of_the_contract_is_the_models_failure() -> None:
    model = Root()
    model.dtype = np.float64  # type: ignore[assignment]
    with pytest.raises(ModelFailure, match=r"output y is float64 \[1\]; its contract says float32"):
        score(model, from_records(PLAIN, [{"x": 4}]))


def test_scoring_imports_nothing_heavy() -> None:
    code = "import quintet.scoring, quintet.features, sys; print(*sorted(sys.modules))"
    environment = {"PYTHONPATH": str(ROOT / "layers/quintet")}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"boto3", "botocore", "onnxruntime", "pydantic", "aws_lambda_powertools", "yaml"}
    assert heavy.isdisjoint(loaded)
    assert "numpy" in loaded


class Echo:
    """The text that it is given."""

    def __init__(self, of: Contract) -> None:
        self.contract = of

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        return [feeds["city"]]


@pytest.mark.parametrize(
    ("empty", "default", "expected"),
    [
        ("text", "Paris", ["", "Paris", "Oslo"]),
        ("missing", "Paris", ["Paris", "Paris", "Oslo"]),
        ("missing", None, ["Oslo"]),
        ("missing", "", ["", "", "Oslo"]),
    ],
)
def test_a_contract_says_what_the_empty_text_is(
    empty: str, default: str | None, expected: list[str]
) -> None:
    city = Feature(name="city", dtype="string", default=default, empty=empty)  # type: ignore[arg-type]
    of = Contract(
        name="echo",
        version=1,
        task="t",
        features=(city,),
        inputs=(Input(name="city", dtype="string", shape=(-1, 1)),),
        outputs=(Output(name="city", dtype="string", shape=(-1, 1), meaning="label"),),
    )
    scores = score(Echo(of), from_records(of, [{"city": ""}, {}, {"city": "Oslo"}]))
    assert scores.outputs["city"].reshape(-1).tolist() == expected
    told = [(r.row, r.field, r.expected, r.got) for r in scores.refusals]
    refused = [] if default is not None else [1, 0]
    assert told == [(row, "city", "a string", "nothing") for row in refused]
