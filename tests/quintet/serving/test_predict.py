"""The one pipeline: policies for an absent store, isolation, and the caller's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.models import CONTRACTS, GRAPHS, LOG, NOW, SHOP, shop_features

from quintet.columns import Array, Batch, from_records
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, Transient
from quintet.features import MemoryFeatures, StoredValue
from quintet.onnx_model import OnnxModel
from quintet.serving import ModelRoute, Prediction
from quintet.serving.isolation import MAX_FAILING_ROWS
from quintet.serving.predict import predict
from quintet.serving.prediction import failed_prediction, in_caller_order

SHOP_ROUTE = ModelRoute(OnnxModel(SHOP, GRAPHS["shop"]()), "live")


class Failing:
    """The model `log`, which fails where x is 13; the rows of each run are counted."""

    def __init__(self) -> None:
        self._model = OnnxModel(CONTRACTS["log"], GRAPHS["log"]())
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


class Away:
    """A feature store that cannot be read."""

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        raise Transient("away")


def logs(*values: Any) -> Batch:
    return from_records(LOG, [{"x": value} for value in values])


def orders(*customers: str) -> Batch:
    return from_records(SHOP, [{"customer": one, "amount": 5.0} for one in customers])


def test_an_absent_store_is_answered_by_the_fallback_rule_if_there_is_one() -> None:
    (found,) = predict(SHOP_ROUTE, orders("c1", "c2"), Away(), NOW)
    assert found.scores.fallback.tolist() == [True, True]
    assert found.ages.shape == (2, 1)
    assert np.isnan(found.ages).all()
    ruleless = ModelRoute(OnnxModel(replace(SHOP, fallback=None), GRAPHS["shop"]()))
    with pytest.raises(Transient, match="no fallback rule"):
        predict(ruleless, orders("c1"), Away(), NOW)


def test_a_prediction_says_which_version_answered_which_rows() -> None:
    (found,) = predict(SHOP_ROUTE, orders("c1", "c2"), shop_features(), NOW)
    assert (found.contract, found.route, found.rows.tolist()) == (SHOP, "live", [0, 1])
    assert found.scores.index.tolist() == [0, 1]


def test_rows_that_the_model_fails_on_are_refused_alone() -> None:
    model = Failing()
    batch = logs(1, 13, 3, "x", 13)
    (found,) = predict(ModelRoute(model), batch, MemoryFeatures(), NOW, isolate="rows")
    assert found.scores.index.tolist() == [0, 2]
    refused = {refusal.row: refusal.field for refusal in found.scores.refusals}
    assert refused == {1: "model", 3: "x", 4: "model"}
    assert not found.failures
    alone = predict(ModelRoute(model), logs(1), MemoryFeatures(), NOW)[0]
    for name, values in alone.scores.outputs.items():
        np.testing.assert_allclose(found.scores.outputs[name][:1], values, rtol=1e-6)


@pytest.mark.parametrize("values", [[13], [13, 13], [1] * 30 + [13] * (MAX_FAILING_ROWS + 1)])
def test_a_model_that_fails_on_all_or_many_rows_is_broken(values: list[int]) -> None:
    with pytest.raises(ModelFailure, match="the model broke"):
        predict(ModelRoute(Failing()), logs(*values), MemoryFeatures(), NOW, isolate="rows")


def test_groups_that_the_model_fails_on_are_named_and_the_others_scored() -> None:
    model = Failing()
    batch = logs(1, 13, 3, 4, 13)
    (found,) = predict(ModelRoute(model), batch, MemoryFeatures(), NOW, isolate=[1, 2, 1, 1])
    assert sorted(found.failures) == [1, 3]
    assert found.scores.index.tolist() == [0, 3]
    assert model.runs == [5, 3, 1, 2, 2, 1, 1]


def test_groups_that_all_fail_leave_no_scores() -> None:
    batch = logs(13, 13)
    (found,) = predict(ModelRoute(Failing()), batch, MemoryFeatures(), NOW, isolate=[1, 1])
    assert sorted(found.failures) == [0, 1]
    assert {name: len(values) for name, values in found.scores.outputs.items()} == {
        output.name: 0 for output in LOG.outputs
    }


def test_a_batch_is_refused_whole_before_the_model_runs() -> None:
    model = Failing()
    with pytest.raises(BadInput, match="row 1: x"):
        predict(ModelRoute(model), logs(1, "x"), MemoryFeatures(), NOW, whole=True)
    assert model.runs == []


def test_a_failed_prediction_refuses_every_row_that_is_not_refused_already() -> None:
    error = ModelFailure("the model broke")
    found = failed_prediction(ModelRoute(Failing(), "live"), logs(1, "x"), error, NOW)
    assert sorted((r.row, r.field) for r in found.scores.refusals) == [(0, "model"), (1, "x")]
    assert len(found.scores.index) == 0


def test_predictions_of_parts_are_put_back_in_the_callers_order() -> None:
    batch, features = orders("c1", "c2", "c3", "c1"), shop_features()
    (whole,) = predict(SHOP_ROUTE, batch, features, NOW)

    def part(*rows: int) -> Prediction:
        some = orders(*((batch.entities or [])[row] for row in rows))
        (found,) = predict(SHOP_ROUTE, some, features, NOW)
        return replace(found, rows=np.array(rows))

    joined = in_caller_order([part(1, 3), part(0, 2)], batch)
    assert joined.rows.tolist() == [0, 1, 2, 3]
    assert joined.scores.index.tolist() == whole.scores.index.tolist()
    assert joined.scores.fallback.tolist() == whole.scores.fallback.tolist()
    for name, values in whole.scores.outputs.items():
        np.testing.assert_allclose(joined.scores.outputs[name], values, rtol=1e-6)
    np.testing.assert_array_equal(joined.ages, whole.ages)
