"""Batches of several callers scored together: each gets what it would have got alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.models import CONTRACTS, GRAPHS, LOG, NOW, SHOP, online, shop_features

from quintet.columns import Array, Batch, from_records, layout, merge
from quintet.columns.tensors import from_tensors
from quintet.contract import Contract
from quintet.errors import ModelFailure, Transient
from quintet.features import MemoryFeatures, StoredValue
from quintet.onnx_model import OnnxModel
from quintet.protocols import records
from quintet.serving import ModelRoute, Prediction, RequestContext
from quintet.serving.groups import predict_groups
from quintet.serving.model_cache import PublishedModel

MODELS = {name: OnnxModel(CONTRACTS[name], GRAPHS[name]()) for name in ("shop", "log", "text")}

numbers = st.one_of(st.floats(-5, 5, width=32), st.just("wrong"), st.none())
ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "shop": st.fixed_dictionaries(
        {
            "amount": st.one_of(st.floats(-10, 12_000, width=32), st.just("wrong")),
            "customer": st.sampled_from(["c1", "c2", "c3", 7, None]),
        },
        optional={"items": st.integers(0, 5)},
    ),
    "log": st.fixed_dictionaries({"x": numbers}, optional={"y": numbers}),
    "text": st.fixed_dictionaries({"text": st.sampled_from(["shirt", "shoes", "hat", 3])}),
}


def told(found: Prediction | ModelFailure) -> Any:
    """All of a result that a caller sees."""
    if isinstance(found, ModelFailure):
        return str(found)
    scores = found.scores
    refusals = sorted(map(str, scores.refusals))
    rows = [json.loads(row) for row in records.predictions(found)]
    return rows, refusals, scores.index.tolist(), scores.fallback.tolist()


def alike(one: Any, other: Any) -> bool:
    """Whether two results are equal, numbers to 1e-6."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, np.ndarray):
        return bool(np.allclose(one, other, rtol=1e-6, atol=1e-6))
    if isinstance(one, float | np.floating):
        return bool(np.isclose(float(one), float(other), rtol=1e-6, atol=1e-6, equal_nan=True))
    return bool(one == other)


@pytest.mark.parametrize("name", sorted(MODELS))
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_result_i_of_a_group_is_the_result_alone(name: str, data: st.DataObject) -> None:
    model, features = MODELS[name], shop_features()
    many = st.lists(st.lists(ROWS[name], min_size=1, max_size=4), min_size=1, max_size=6)
    asked = data.draw(many)
    batches = [from_records(model.contract, rows) for rows in asked]
    together = predict_groups(ModelRoute(model), batches, features, NOW)
    for rows, found in zip(asked, together, strict=True):
        (alone,) = predict_groups(
            ModelRoute(model), [from_records(model.contract, rows)], features, NOW
        )
        assert alike(told(found), told(alone)), (told(found), told(alone))


def test_it_is_what_answers_online() -> None:
    service = online()
    asked = [[{"x": 3.0, "y": 1.0}], [{"x": 2.5}, {"x": 9.0, "y": 2.0}]]
    batches = [from_records(LOG, rows) for rows in asked]
    found = predict_groups(ModelRoute(MODELS["log"]), batches, MemoryFeatures(), NOW)
    for rows, prediction in zip(asked, found, strict=True):
        context = RequestContext()
        answered = service.predict(
            context, service.route(context, "log", None), from_records(LOG, rows)
        )
        assert alike(told(prediction), told(answered))


class Counting:
    """A model that counts its runs, and fails where the first column holds 13."""

    def __init__(self, model: PublishedModel) -> None:
        self._model = model
        self.runs: list[int] = []

    @property
    def contract(self) -> Contract:
        return self._model.contract

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        (feed,) = feeds.values()
        self.runs.append(len(feed))
        if (feed[:, 0] == 13).any():
            raise ModelFailure("the model broke")
        return self._model.run(outputs, feeds)


def logs(*values: float) -> Batch:
    return from_records(LOG, [{"x": value} for value in values])


def test_a_group_is_one_run() -> None:
    model = Counting(MODELS["log"])
    predict_groups(ModelRoute(model), [logs(1), logs(2, 3), logs(4)], MemoryFeatures(), NOW)
    assert model.runs == [4]


def test_a_batch_that_breaks_the_model_fails_alone() -> None:
    model = Counting(MODELS["log"])
    batches = [logs(1), logs(2, 13), logs(4), logs(5)]
    found = predict_groups(ModelRoute(model), batches, MemoryFeatures(), NOW)
    assert [isinstance(item, ModelFailure) for item in found] == [False, True, False, False]
    assert model.runs == [5, 3, 1, 2, 2]


def test_only_the_outputs_asked_for_are_computed_and_checked() -> None:
    (found,) = predict_groups(
        ModelRoute(MODELS["shop"]),
        [from_records(SHOP, [{"amount": 5.0, "customer": "c1"}])],
        shop_features(),
        NOW,
        outputs=["label"],
    )
    assert isinstance(found, Prediction) and set(found.scores.outputs) == {"label"}


def test_a_store_that_cannot_be_read_is_answered_by_the_rule_or_fails_the_group() -> None:
    class Down:
        def fetch(
            self, key: str, entities: Sequence[str], names: Sequence[str]
        ) -> dict[str, dict[str, StoredValue]]:
            raise Transient("down")

    batch = from_records(SHOP, [{"amount": 5.0, "customer": "c1"}])
    (found,) = predict_groups(ModelRoute(MODELS["shop"]), [batch], Down(), NOW)
    assert isinstance(found, Prediction) and found.scores.fallback.tolist() == [True]
    ruleless = OnnxModel(replace(SHOP, fallback=None), GRAPHS["shop"]())
    with pytest.raises(Transient, match="no fallback rule"):
        predict_groups(ModelRoute(ruleless), [batch], Down(), NOW)


def test_merging_keeps_what_came_side_by_side_and_leaves_its_parts_alone() -> None:
    tensors = [np.array(rows, np.float32) for rows in ([[1, 2]], [[3, 4], [5, 6]])]
    parts = [from_tensors(LOG, {"XY": tensor}) for tensor in tensors]
    parts[1].refuse(1, "x", "a number", "another")
    merged = merge(parts)
    assert merged.stacked["x", "y"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert merged.columns["y"].tolist() == [2, 4, 6]
    assert merged.good.tolist() == [True, True, False]
    assert [refusal.row for refusal in merged.refusals] == [2]
    assert merge([parts[0], logs(7)]).stacked == {}
    merged.refuse(0, "y", "a number", "another")
    assert parts[0].good.all() and parts[0].refusals == []


def test_batches_of_other_shapes_have_another_layout() -> None:
    one = from_records(CONTRACTS["pixels"], [{"image": [[1, 2, 3], [4, 5, 6]]}])
    other = from_records(LOG, [{"x": 1.0}])
    same = from_records(LOG, [{"x": 2.0, "y": 3.0}])
    assert layout(one) != layout(other) == layout(same)
