"""Missing values as NaN: every form gives the graph what onnxruntime itself is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from arro3 import core
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.kits.forms import CSV_FORMS, JSON_FORMS, contract_of, invoke, npy, oip, parquet
from tests.kits.models import NOW
from tests.kits.trees import trees

from quintet.columns import Batch, from_records, merge
from quintet.columns.tables import from_arrays, from_text
from quintet.contract import Contract, Fallback, FallbackRule, Feature, Input, Output
from quintet.errors import BadInput
from quintet.features import MemoryFeatures, StoredValue, join
from quintet.onnx_model import OnnxModel
from quintet.protocols import oip_infer
from quintet.protocols.http import Request
from quintet.scoring import score
from quintet.serving import PredictionCache, RequestContext
from quintet.serving.golden import score_columns

NAN = float("nan")
SCALARS = ("a", "b", "c")


def contract(*, vector: bool) -> Contract:
    """Three numbers that may be missing and, if wanted, a vector of two."""
    features = [Feature(name=name, dtype="float32", missing="nan") for name in SCALARS]
    inputs = [Input(name="input", dtype="float32", shape=(-1, 3), features=SCALARS)]
    if vector:
        features.append(Feature(name="v", dtype="float32", shape=(2,), missing="nan"))
        inputs.append(Input(name="v:0", dtype="float32", shape=(-1, 2), features=("v",)))
    return Contract(
        name="tree",
        version=1,
        task="t",
        features=tuple(features),
        inputs=tuple(inputs),
        outputs=tuple(
            Output(name=f"of {i.name}", dtype="float32", shape=(-1, 1), meaning="score")
            for i in inputs
        ),
    )


PLAIN, BOTH = contract(vector=False), contract(vector=True)
MODELS = {c: OnnxModel(c, trees(c)) for c in (PLAIN, replace(BOTH, version=2))}
PLAIN, BOTH = MODELS
SESSION = onnxruntime.InferenceSession(trees(BOTH), providers=["CPUExecutionProvider"])

#: a row: a, b, c and the two elements of v
Row = tuple[float | None, ...]
number = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, -3.0, 0.1]) | st.floats(
    -4, 4, width=32, allow_subnormal=False
)
rows = st.lists(st.tuples(*[st.none() | number] * 5), min_size=1, max_size=5)


def matrix(found: Sequence[Row]) -> NDArray[np.float32]:
    return np.array(found, dtype=np.float32)


def answer(found: Sequence[Row]) -> dict[str, bytes]:
    """What onnxruntime itself gives for NaN."""
    values = matrix(found)
    feeds = {"input": values[:, :3], "v:0": values[:, 3:]}
    names = [output.name for output in BOTH.outputs]
    results = SESSION.run(names, feeds)
    return {name: result.tobytes() for name, result in zip(names, results, strict=True)}


def scored(batch: Batch, contract: Contract = BOTH) -> dict[str, bytes]:
    scores = score(MODELS[contract], batch)
    assert scores.refusals == []
    return {name: values.tobytes() for name, values in scores.outputs.items()}


def text(value: float | None) -> str:
    return "" if value is None else repr(value)


def json_row(row: Row, *, absent: bool) -> dict[str, str]:
    """A row as JSON writes it; a missing value is null, or not there."""
    pairs = zip(SCALARS, row, strict=False)
    found = {name: json.dumps(v) for name, v in pairs if v is not None or not absent}
    if row[3:] != (None, None) or not absent:
        found["v"] = "null" if row[3:] == (None, None) else json.dumps(row[3:])
    return found


@settings(derandomize=True, deadline=None, max_examples=40)
@given(rows, st.booleans(), st.sampled_from([*JSON_FORMS]))
def test_null_and_an_absent_field_are_nan(found: list[Row], absent: bool, form: str) -> None:
    written = [json_row(row, absent=absent) for row in found]
    assert scored(JSON_FORMS[form](BOTH, written)) == answer(found)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(rows, st.sampled_from(["", "nan", "NaN"]), st.sampled_from([*CSV_FORMS]))
def test_an_empty_cell_is_nan(found: list[Row], gap: str, form: str) -> None:
    written = [{n: text(v) or gap for n, v in zip(SCALARS, row, strict=False)} for row in found]
    (name, *_) = (output.name for output in PLAIN.outputs)
    assert scored(CSV_FORMS[form](PLAIN, written), PLAIN) == {name: answer(found)[name]}


def raw_oip(**tensors: NDArray[np.float32]) -> Batch:
    inputs = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": [*values.shape],
            "parameters": {"binary_data_size": values.nbytes},
        }
        for name, values in tensors.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    body = head + b"".join(values.tobytes() for values in tensors.values())
    headers = {oip_infer.HEADER.lower(): str(len(head))}
    return oip_infer.decode(BOTH, Request("POST", "/", {}, headers, body)).batch


def parquet_columns(found: Sequence[Row], *, nulls: bool) -> dict[str, Any]:
    kind = core.DataType.float32()
    columns: dict[str, Any] = {}
    for place, name in enumerate(SCALARS):
        column = [row[place] for row in found]
        gaps = [NAN if value is None else value for value in column]
        columns[name] = core.Array(column if nulls else gaps, kind)
    flat = [value for row in found for value in row[3:]]
    flat = flat if nulls else [NAN if value is None else value for value in flat]
    columns["v"] = core.fixed_size_list_array(core.Array(flat, kind), 2)
    return columns


@settings(derandomize=True, deadline=None, max_examples=40)
@given(rows)
def test_tensors_arrays_and_typed_columns_give_nan(found: list[Row]) -> None:
    values, wanted, count = matrix(found), answer(found), len(found)
    flat = [value for row in found for value in row]
    lines = "".join(",".join(map(text, row)) + "\n" for row in found)
    halves = np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3:])
    got = {
        "csv in order": invoke(BOTH, lines.encode(), "text/csv"),
        "json in order": invoke(BOTH, json.dumps(found).encode(), "application/json"),
        "npy": npy(BOTH, values),
        "oip, whole": oip(
            BOTH,
            **{
                "input": ("FP32", [count, 3], [v for row in found for v in row[:3]]),
                "v:0": ("FP32", [count, 2], [v for row in found for v in row[3:]]),
            },
        ),
        "oip, by feature": oip(
            BOTH,
            a=("FP32", [count], flat[0::5]),
            b=("FP64", [count, 1], flat[1::5]),
            c=("FP32", [count], flat[2::5]),
            v=("FP32", [count, 2], [v for row in found for v in row[3:]]),
        ),
        "oip, raw": raw_oip(input=halves[0], v=halves[1]),
        "parquet, nulls": parquet(BOTH, **parquet_columns(found, nulls=True)),
        "parquet, nan": parquet(BOTH, **parquet_columns(found, nulls=False)),
    }
    assert {form: scored(batch) for form, batch in got.items()} == dict.fromkeys(got, wanted)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(rows)
def test_golden_rows_write_null(found: list[Row]) -> None:
    columns = {name: [row[place] for row in found] for place, name in enumerate(SCALARS)}
    vectors = [None if row[3:] == (None, None) else [*row[3:]] for row in found]
    scores = score_columns(MODELS[BOTH], {**columns, "v": vectors})
    assert {n: values.tobytes() for n, values in scores.outputs.items()} == answer(found)


def test_a_tensor_that_is_not_sent_is_missing() -> None:
    batch = oip(BOTH, b=("FP32", [2], [0.75, None]))
    found: list[Row] = [(None, 0.75, None, None, None), (None,) * 5]
    assert scored(batch) == answer(found)


# ---- beside values that are required -----------------------------------------------------------

MIXED = contract_of(
    Feature(name="x", dtype="float32", missing="nan", range=(0, 10)),
    Feature(name="kind", dtype="float32", missing="nan", categories=(1, 2)),
    Feature(name="y", dtype="float32"),
)


class Sum:
    """A model that shows what it was given."""

    contract = MIXED

    def __init__(self) -> None:
        self.feeds: dict[str, Any] = {}

    def run(self, outputs: Sequence[str], feeds: dict[str, Any], /) -> list[Any]:
        """See `quintet.scoring.Model.run`."""
        self.feeds = feeds
        return [np.zeros(len(feeds["y"]), np.float32)]


def test_range_and_categories_are_those_of_values_that_are_there() -> None:
    model = Sum()
    batch = from_records(
        MIXED,
        [
            {"y": 1},
            {"x": 11, "y": 1},
            {"x": 2, "kind": 3, "y": 1},
            {"x": None, "kind": 2, "y": 1},
            {"x": 2, "kind": None},
        ],
    )
    scores = score(model, batch)
    assert sorted(map(str, scores.refusals)) == [
        "row 1: x: expected a number from 0 to 10, got 11.0",
        "row 2: kind: expected one of 1, 2, got 3.0",
        "row 4: y: expected a number (float32), got nothing",
    ]
    assert scores.index.tolist() == [0, 3]
    np.testing.assert_array_equal(model.feeds["x"], np.array([[NAN], [NAN]], np.float32))
    np.testing.assert_array_equal(model.feeds["kind"], np.array([[NAN], [2]], np.float32))


def test_null_for_a_value_that_is_required_is_refused_by_row() -> None:
    stacked = replace(
        MIXED, inputs=(Input(name="i", dtype="float32", shape=(-1, 2), features=("x", "y")),)
    )
    tensors = {"i": ("FP32", [2, 2], [None, 1.0, 1.0, None])}
    scores = score(Sum(), oip(stacked, **tensors, kind=("FP32", [2], [1, None])))
    assert [*map(str, scores.refusals)] == ["row 1: y: expected a finite number (float32), got nan"]
    with pytest.raises(BadInput) as caught:
        oip(contract_of(Feature(name="y", dtype="float32")), y=("FP32", [1], [None]))
    assert str(caught.value).startswith("y: expected numbers (FP32), got ")


def test_columns_that_no_row_has_are_told_apart() -> None:
    kinds: dict[str, Any] = {"x": [None, None], "kind": [None, "2"], "y": ["1", "2"]}
    values = {"x": np.array([NAN, NAN]), "kind": np.array([NAN, 2]), "y": np.array([1.0, 2])}
    records = [{"y": 1}, {"y": 2, "kind": 2}]
    for batch in (
        from_text(MIXED, kinds),
        from_arrays(MIXED, values, {}),
        from_records(MIXED, records),
    ):
        assert batch.absent == {"x"}


# ---- stored features, and what remembers values ------------------------------------------------


@pytest.mark.parametrize(
    ("when_stale", "wanted", "refused"),
    [
        ("serve", [1.0, 2.0, NAN], []),
        ("default", [1.0, NAN, NAN], []),
        ("refuse", [1.0, 2.0, NAN], ["row 1: f: expected a stored value no older than 60 s"]),
        ("fallback", [1.0, 2.0, 0.0], []),
    ],
)
def test_a_stored_feature_without_a_value_is_nan(
    when_stale: Any, wanted: list[float], refused: list[str]
) -> None:
    stored = Feature(
        name="f", dtype="float32", source="store", missing="nan", max_age=60, when_stale=when_stale
    )
    known = Contract(
        name="m", version=1, task="t", entity="k", features=(stored,), inputs=(), outputs=()
    )
    store = MemoryFeatures()
    store.values = {
        ("k", "new"): {"f": StoredValue(1.0, NOW - 1)},
        ("k", "old"): {"f": StoredValue(2.0, NOW - 100)},
    }
    batch = from_records(known, [{"k": "new"}, {"k": "old"}, {"k": "none"}])
    joined = join(known, batch, store, NOW)
    np.testing.assert_array_equal(batch.columns["f"], np.array(wanted, np.float32))
    assert [str(refusal).partition(", got")[0] for refusal in batch.refusals] == refused
    fallback = [False, True, True] if when_stale == "fallback" else [False] * 3
    assert joined.fallback.tolist() == fallback


def test_batches_with_gaps_merge_as_others() -> None:
    parts = [from_records(PLAIN, [{"a": 1.0}]), from_records(PLAIN, [{"b": 1.0, "c": None}])]
    found: list[Row] = [(1.0, None, None, None, None), (None, 1.0, None, None, None)]
    name = PLAIN.outputs[0].name
    assert scored(merge(parts), PLAIN) == {name: answer(found)[name]}


def test_a_prediction_for_gaps_is_kept() -> None:
    cached = PredictionCache(clock=lambda: NOW)
    context = RequestContext()
    model = OnnxModel(replace(PLAIN, cache_ttl=60.0), trees(PLAIN))
    seen = []
    for record in ({"a": 1.0}, {"a": 1.0, "b": None}, {"a": None, "b": 1.0}):
        cached.scoring(context)(model, from_records(PLAIN, [record]))
        seen.append(context.cache)
    assert seen == ["miss", "hit", "miss"]


def test_a_fallback_rule_does_not_match_a_gap() -> None:
    rule = FallbackRule(feature="a", above=1, outputs={"of input": 9.0})
    fallback = Fallback(otherwise={"of input": 1.0}, rules=(rule,))
    model = OnnxModel(replace(PLAIN, version=3, fallback=fallback), trees(PLAIN))
    batch = from_records(PLAIN, [{"a": 2.0}, {}, {}])
    scores = score(model, batch, fallback=np.array([True, True, False]))
    tree = np.frombuffer(answer([(None,) * 5])["of input"], np.float32)
    assert scores.outputs["of input"].tolist() == [[9.0], [1.0], tree.tolist()]
