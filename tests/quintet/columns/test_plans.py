"""What is read by a compiled plan is what a look at each value gives."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.models import NOW, SHOP, online

from quintet import features
from quintet.columns import Batch, from_records, records
from quintet.columns.batch import fill
from quintet.columns.values import json_value
from quintet.contract import Feature
from quintet.features import FeatureCache, FeatureSource, MemoryFeatures, join
from quintet.scoring import score

MODEL = online().models.get("shop")

#: what JSON gives, plain numbers more often than anything else
numbers = st.one_of(st.integers(-5, 12_000), st.floats(-5, 12_000), st.floats(width=32))
values = st.one_of(
    numbers,
    numbers,
    st.sampled_from([None, True, "7", 1e300, -0.0, float("inf"), 2**63, [1]]),
)
asked = st.lists(
    st.fixed_dictionaries(
        {"customer": st.sampled_from(["c1", "c2", "new", "", 7])},
        optional={"amount": values, "items": values, "other": values},
    ),
    min_size=1,
    max_size=4,
)
stored = st.dictionaries(
    st.sampled_from(["c1", "c2", "7"]),
    st.tuples(
        st.one_of(numbers, st.sampled_from([True, "7", "x", 2**63])),
        st.sampled_from([NOW, NOW - 60, NOW - 86_400]),
    ),
)


def one_by_one(batch: Batch, feature: Feature, column: list[Any]) -> None:
    """A column, read value by value."""
    fill(batch, feature, column, json_value)


def scored(found: list[dict[str, Any]], store: FeatureSource) -> tuple[object, ...]:
    """The outputs and the refusals of records, as values that can be compared."""
    batch = from_records(SHOP, found)
    with np.errstate(over="ignore"):
        joined = join(SHOP, batch, store, NOW)
    scores = score(MODEL, batch, fallback=joined.fallback)
    outputs = {name: output.tobytes() for name, output in scores.outputs.items()}
    refusals = sorted(map(str, scores.refusals))
    return outputs, scores.index.tolist(), scores.fallback.tolist(), refusals, str(joined.ages)


@pytest.mark.filterwarnings("ignore:overflow")
@settings(derandomize=True, deadline=None)
@given(asked, stored)
def test_a_plan_and_a_look_at_each_value_agree(
    found: list[dict[str, Any]], values: dict[str, tuple[Any, float]]
) -> None:
    store = MemoryFeatures()
    for customer, (value, at) in values.items():
        store.put("customer", customer, "orders_90d", value, at)
    planned = scored(found, store)
    cache = FeatureCache(store, seconds=5, clock=lambda: NOW)
    # the first join of an entity makes its arrays, the second uses them
    assert [scored(found, cache), scored(found, cache)] == [planned] * 2
    with (
        patch.object(records._RecordPlan, "put", lambda *_: False),
        patch.object(records, "_fill_json", one_by_one),
        patch.object(features, "_plain", lambda *_: None),
    ):
        assert scored(found, store) == planned
