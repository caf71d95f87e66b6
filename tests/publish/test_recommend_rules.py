"""The rules of a ranker's `recommend`: what publishing says about each contradiction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quintet.contract import Filters, Recommend, from_dict, to_dict
from quintet_publish.model_yaml import read_contract
from quintet_publish.problems import PackageError

RANKER = (Path(__file__).parents[2] / "models/ranker/model.yaml").read_text(encoding="utf-8")
CONTEXT = "  - {{name: {0}, dtype: {1}}}\n  - name: session"


def problems(change: str) -> list[str]:
    """What is wrong with the ranker's contract after a change, without the lines' numbers."""
    old, new = change.split(" => ")
    assert old in RANKER
    with pytest.raises(PackageError) as caught:
        read_contract(RANKER.replace(old, new).encode())
    return [str(problem).partition(": ")[2] for problem in caught.value.problems]


def test_the_example_and_its_json() -> None:
    contract = read_contract(RANKER.encode())
    rule = Recommend(
        candidates="candidates",
        item="item",
        rank="rank",
        score="score",
        session="session",
        category="category",
        explore=0.05,
        filters=Filters(seen=True, stock_max_age=86_400.0, per_category=5),
    )
    assert contract.recommend == rule
    assert from_dict(json.loads(json.dumps(to_dict(contract)))) == contract


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "candidates: candidates => candidates: No One",
            "recommend.candidates: expected the name of a model, got 'No One'",
        ),
        (
            "item: item => item: score",
            "recommend.item: expected a request feature of integers with a single value; "
            "score is float32 [] from the request",
        ),
        (
            "item: item => item: thing",
            "recommend.item: expected a request feature of integers with a single value, "
            "got 'thing'",
        ),
        (
            "dtype: int64\n    range: [1, 2663]\n    description: the item => "
            "dtype: int64\n    description: the item",
            "recommend.item: expected a feature with a `range` from 1 to at most 1000000, of the "
            "items that the model knows; item has none",
        ),
        (
            "score: score => score: orders_365d",
            "recommend.score: expected a request feature of floats with a single value; "
            "orders_365d is float32 [] from the store",
        ),
        (
            "session: session => session: item",
            "recommend.session: expected a request feature of integers with one axis; "
            "item is int64 [] from the request",
        ),
        (
            "rank: rank => rank: score",
            "recommend.rank: expected an output of floats with the shape [-1, 1], got 'score'",
        ),
        (
            "category: category => category: rank",
            "recommend.category: expected an output of integers with the shape [-1, 1]; "
            "rank is float32 [-1, 1]",
        ),
        ("explore: 0.05 => top: 101", "recommend.top: expected a number from 1 to 100, got 101"),
        (
            "explore: 0.05 => explore: 1.5",
            "recommend.explore: expected a number from 0 to 1, got 1.5",
        ),
        (
            "  category: category\n => ",
            "recommend.filters.per_category: needs `category`, the output with an item's category",
        ),
        (
            "stock_max_age: 86400 => stock_max_age: 0",
            "recommend.filters.stock_max_age: expected a number from 1 to 2592000, got 0",
        ),
        (
            "explore: 0.05 => feedback_days: 31",
            "recommend.feedback_days: expected at most `capture.days`, 30, got 31",
        ),
        (
            "capture: {rate: 1, days: 30} => drift: {floor: 0.1}",
            "recommend.explore: needs `capture`: what was shown at random is of use only if it "
            "is kept",
        ),
        (
            "limits: { => rows: one\nlimits: {",
            "recommend: expected `rows: many`: all candidates of a user are ranked in one run",
        ),
        (
            "  - name: session => " + CONTEXT.format("country", "string"),
            "recommend: the feature country has no `default`, and a request without a body does "
            "not have it",
        ),
        (
            "  - name: session => " + CONTEXT.format("time", "string"),
            "recommend: expected a single number for the feature time: it gets epoch seconds",
        ),
        (
            "  - name: session => " + CONTEXT.format("top", "float32"),
            "recommend: the feature top has the name of a field of the request",
        ),
    ],
)
def test_a_contradiction_is_found(change: str, found: str) -> None:
    assert found in problems(change)


def test_a_context_of_a_fixed_size_needs_what_fills_it_up() -> None:
    change = "shape: [-1]\n    max: 20\n    pad: 0 => shape: [20]"
    unused = "a `default` for the places that a short context leaves"
    assert f"recommend.session: expected {unused}; session has none" in problems(change)
