"""Rows of different shapes, or one at a time: every form gives what onnxruntime gives alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from arro3 import core
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.forms import CSV_FORMS, JSON_FORMS, invoke, npy, oip, parquet
from tests.kits.shapes import IMAGE, PADDED, SERIES, SHAPED, STATE, TOKENS, WORDS, Shaped

from quintet.columns import Batch, from_records, layout, numpy_dtype
from quintet.contract import Limits
from quintet.errors import BadInput, ModelFailure, UnsupportedMedia
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols import kserve, oip_infer, records, sagemaker
from quintet.protocols.http import Request
from quintet.protocols.tensors import DATATYPES, to_bytes
from quintet.scoring import Scores, score
from quintet.serving import ModelRoute
from quintet.serving.groups import predict_groups
from quintet.serving.predict import predict


def model(shaped: Shaped) -> OnnxModel:
    return OnnxModel(shaped.contract, shaped.graph)


def written(shaped: Shaped) -> list[dict[str, str]]:
    return [{name: json.dumps(v) for name, v in row.items()} for row in shaped.rows]


def lists(values: list[Any], depth: int, dtype: str) -> core.Array:
    """Nested lists as Arrow's."""
    if not depth:
        if dtype == "string":
            return core.Array(values, core.DataType.string())
        if None in values:
            return core.Array(values, core.DataType.float32())
        return core.Array.from_numpy(np.array(values, dtype))
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    inner = lists([item for value in values for item in value], depth - 1, dtype)
    return core.list_array(core.Array.from_numpy(ends), inner)


def by_parquet(shaped: Shaped) -> Batch:
    """Each feature a column of lists, or of numbers."""
    columns = {
        feature.name: lists(
            [row[feature.name] for row in shaped.rows], len(feature.shape), feature.dtype
        )
        for feature in shaped.contract.features
    }
    return parquet(shaped.contract, **columns)


def by_records(shaped: Shaped) -> Batch:
    return from_records(shaped.contract, shaped.rows)


FORMS: dict[str, Callable[[Shaped], Batch]] = {
    "arrays": by_records,
    "parquet": by_parquet,
    **{
        name: lambda shaped, read=read: read(shaped.contract, written(shaped))  # type: ignore[misc]
        for name, read in JSON_FORMS.items()
    },
}


def same(shaped: Shaped, scores: Scores, rows: Sequence[int] | None = None) -> None:
    """Every output of every row is bit for bit what onnxruntime gives for that row alone."""
    assert scores.index.tolist() == (list(range(len(shaped.rows))) if rows is None else rows)
    for place, row in enumerate(scores.index.tolist()):
        for output in shaped.contract.outputs:
            expected = shaped.alone(shaped.rows[row])[output.name]
            have = np.asarray(scores.outputs[output.name][place])
            assert have.dtype == numpy_dtype(output.dtype)
            assert have.shape == expected.shape
            if have.dtype.kind == "O":
                assert have.tolist() == expected.tolist()
            else:
                assert have.tobytes() == expected.tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHAPED)
def test_every_form_scores_each_row_as_alone(name: str, form: str) -> None:
    shaped = SHAPED[name]
    scores = score(model(shaped), FORMS[form](shaped))
    assert scores.refusals == []
    same(shaped, scores)


def by_tensors(shaped: Shaped, row: dict[str, Any], *, raw: bool) -> Batch:
    """One row as a request of the Open Inference Protocol, in JSON or as raw tensors."""
    parts, inputs = [], []
    for feature in shaped.contract.features:
        value = np.array(row[feature.name], numpy_dtype(feature.dtype))
        if not value.size:
            value = value.reshape([0 if size == -1 else size for size in feature.shape])
        tensor = {
            "name": feature.name,
            "datatype": DATATYPES[feature.dtype],
            "shape": [1, *value.shape],
        }
        if raw:
            parts.append(to_bytes(value))
            inputs.append({**tensor, "parameters": {"binary_data_size": len(parts[-1])}})
        else:
            inputs.append({**tensor, "data": [row[feature.name]]})
    head = orjson.dumps({"inputs": inputs})
    headers = {"content-type": "application/json"}
    if raw:
        headers["inference-header-content-length"] = str(len(head))
    request = Request("POST", "/", {}, headers, b"".join([head, *parts]))
    return oip_infer.decode(shaped.contract, request).batch


@pytest.mark.parametrize("raw", [False, True], ids=["json", "raw"])
@pytest.mark.parametrize("name", SHAPED)
def test_tensors_of_one_row_score_as_alone(name: str, raw: bool) -> None:
    shaped = SHAPED[name]
    loaded = model(shaped)
    for row in shaped.rows:
        scores = score(loaded, by_tensors(shaped, row, raw=raw))
        assert scores.refusals == []
        same(Shaped(shaped.contract, shaped.graph, [row]), scores)


class Counting:
    """A model that remembers the shapes of its runs."""

    def __init__(self, shaped: Shaped) -> None:
        self.contract = shaped.contract
        self.runs: list[tuple[int, ...]] = []
        self._model = model(shaped)

    def run(self, outputs: Any, feeds: dict[str, Any]) -> list[Any]:
        self.runs.append(next(iter(feeds.values())).shape)
        return self._model.run(outputs, feeds)


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("a free axis", [(2, 3), (1, 1), (1, 0), (1, 6)]),
        ("filled up to the longest", [(5, 6)]),
        ("rows on another axis, and a constant", [(4, 2)]),
        ("one row at a time, no dimension of rows", [(1, 3)] * 4),
    ],
)
def test_rows_of_one_shape_run_together(name: str, runs: list[tuple[int, ...]]) -> None:
    counting = Counting(SHAPED[name])
    score(counting, by_records(SHAPED[name]))
    assert counting.runs == runs


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([1, 10], "series[1]: expected a number from -9 to 9, got 10.0"),
        (None, "series: expected an array of shape [up to 4] of float32, got nothing"),
    ],
)
def test_gaps_are_values_and_rows_are_required(series: Any, expected: str) -> None:
    rows = [*SERIES.rows[:1], {"series": series}]
    scores = score(model(SERIES), from_records(SERIES.contract, rows))
    assert [str(refusal) for refusal in scores.refusals] == [f"row 1: {expected}"]
    same(SERIES, scores, [0])


def test_a_run_has_at_most_the_rows_of_a_request() -> None:
    for shaped, runs in (
        (TOKENS, [(2, 3), (2, 3), (1, 3), (2, 1)]),
        (PADDED, [(2, 3), (2, 3), (2, 3), (1, 1)]),
    ):
        contract = replace(shaped.contract, limits=Limits(rows=2))
        limited = Shaped(contract, shaped.graph, [*[shaped.rows[0]] * 5, *[shaped.rows[1]] * 2])
        counting = Counting(limited)
        same(limited, score(counting, by_records(limited)))
        assert counting.runs == runs


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1] * 7, "tokens: expected an array of shape [up to 6] of int64, got shape [7]"),
        ([[1]], "tokens: expected an array of shape [up to 6] of int64, got [[1]]"),
        (5, "tokens: expected an array of shape [up to 6] of int64, got 5"),
        ([1, 0.5], "tokens: expected an array of shape [up to 6] of int64, got [1, 0.5]"),
        (None, "tokens: expected an array of shape [up to 6] of int64, got nothing"),
        ([1, 2, 1001], "tokens[2]: expected a number from 0 to 1000, got 1001"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_alone(tokens: Any, expected: str) -> None:
    rows = [TOKENS.rows[0], {"tokens": tokens, "mask": [1, 1, 1]}, TOKENS.rows[1]]
    scores = score(model(TOKENS), from_records(TOKENS.contract, rows))
    assert [str(refusal) for refusal in scores.refusals] == [f"row 1: {expected}"]
    assert scores.index.tolist() == [0, 2]
    assert [kept.tolist() for kept in scores.outputs["kept"]] == [[5, 0, 7], [9]]


@pytest.mark.parametrize(
    ("image", "got"),
    [
        ([[[1, 2]], [[1, 2], [3, 4]]], "[[[1, 2]], [[1, 2], [3, 4]]]"),
        ([[[1, 2]] * 5], "shape [1, 5, 2]"),
        ([[[1, 2, 3]]], "shape [1, 1, 3]"),
    ],
)
@pytest.mark.parametrize("form", ["arrays", "parquet"])
def test_an_image_that_does_not_fit_is_refused(form: str, image: Any, got: str) -> None:
    shaped = Shaped(IMAGE.contract, IMAGE.graph, [*IMAGE.rows[:2], {"image": image}])
    scores = score(model(shaped), FORMS[form](shaped))
    expected = "row 2: image: expected an array of shape [up to 3, up to 4, 2] of float32"
    if form == "parquet":
        got = got.replace("1, 2", "1.0, 2.0").replace("3, 4]]]", "3.0, 4.0]]]")
        got = got.replace("shape [1.0, 2.0", "shape [1, 2")
    assert [str(refusal) for refusal in scores.refusals] == [f"{expected}, got {got}"]
    same(shaped, scores, [0, 1])


def test_a_larger_output_than_allowed_is_refused_with_its_row() -> None:
    kept, total = TOKENS.contract.outputs
    contract = replace(TOKENS.contract, outputs=(replace(kept, max=3), total))
    shaped = Shaped(contract, TOKENS.graph, TOKENS.rows)
    scores = score(model(shaped), by_records(shaped))
    assert [str(refusal) for refusal in scores.refusals] == [
        "row 4: kept: expected an output of shape [up to 3], got shape [6]"
    ]
    same(shaped, scores, [0, 1, 2, 3])


def test_what_the_graph_refuses_is_refused_alone_and_its_shapes_are_named() -> None:
    rows = [*TOKENS.rows[:3], {"tokens": [1, 2], "mask": [1, 1, 1]}]
    batch = from_records(TOKENS.contract, rows)
    route = ModelRoute(model(TOKENS))
    (found,) = predict(route, batch, MemoryFeatures(), 0.0, isolate="rows")
    failed = "model tokens version 1 failed on tokens [1, 2], mask [1, 3] (Fail)"
    assert [(r.row, r.field, r.got) for r in found.scores.refusals] == [(3, "model", failed)]
    same(TOKENS, found.scores, [0, 1, 2])
    with pytest.raises(ModelFailure, match=r"failed on tokens \[1, 2\], mask \[1, 3\]"):
        predict(route, from_records(TOKENS.contract, rows), MemoryFeatures(), 0.0)


def test_many_rows_of_shapes_that_the_graph_refuses_do_not_stop_the_others() -> None:
    bad = {"tokens": [1, 2], "mask": [1, 1, 1]}
    rows = [bad if number % 10 == 3 else TOKENS.rows[number % 5] for number in range(200)]
    batch = from_records(TOKENS.contract, rows)
    (found,) = predict(ModelRoute(model(TOKENS)), batch, MemoryFeatures(), 0.0, isolate="rows")
    assert sorted(r.row or 0 for r in found.scores.refusals) == list(range(3, 200, 10))
    assert len(found.scores.index) == 180
    with pytest.raises(ModelFailure):
        batch = from_records(TOKENS.contract, [bad] * 10 + [TOKENS.rows[0]] * 10)
        predict(ModelRoute(model(TOKENS)), batch, MemoryFeatures(), 0.0, isolate="rows")


def test_each_caller_gets_its_rows_back() -> None:
    parts = [TOKENS.rows[3:], TOKENS.rows[:1], TOKENS.rows[1:3]]
    batches = [from_records(TOKENS.contract, part) for part in parts]
    assert len({layout(batch) for batch in batches}) == 1  # jobs of any lengths share a run
    found = predict_groups(ModelRoute(model(TOKENS)), batches, MemoryFeatures(), 0.0)
    for part, prediction in zip(parts, found, strict=True):
        assert not isinstance(prediction, ModelFailure)
        same(Shaped(TOKENS.contract, TOKENS.graph, part), prediction.scores)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1000), max_size=6), min_size=1, max_size=9))
def test_any_lengths_come_back_in_their_order(lengths: list[list[int]]) -> None:
    rows = [{"tokens": tokens, "mask": [1] * len(tokens)} for tokens in lengths]
    for shaped in (TOKENS, PADDED):
        scores = score(model(shaped), from_records(shaped.contract, rows))
        assert scores.outputs["total"].tolist() == [sum(tokens) for tokens in lengths]
    kept = score(model(TOKENS), from_records(TOKENS.contract, rows)).outputs["kept"]
    assert [row.tolist() for row in kept] == lengths


# ---- answers -----------------------------------------------------------------------------------


def answer(shaped: Shaped, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """What the records form answers."""
    body = orjson.dumps({"records": rows})
    asked = records.decode(
        shaped.contract, Request("POST", "/", {}, {"content-type": "application/json"}, body)
    )
    (found,) = predict(ModelRoute(model(shaped)), asked.batch, MemoryFeatures(), 0.0)
    predictions: list[Any] = orjson.loads(records.encode(asked, found).body)["predictions"]
    return predictions


def test_records_answer_with_lists_of_their_own_length() -> None:
    assert answer(TOKENS, [*TOKENS.rows[:2], TOKENS.rows[3]]) == [
        {"kept": [5, 0, 7], "total": 12},
        {"kept": [9], "total": 9},
        {"kept": [], "total": 0},
    ]
    assert answer(WORDS, list(WORDS.rows)) == [{"same": row["words"]} for row in WORDS.rows]
    assert answer(IMAGE, [{"image": [[[0.1, 0.2]]]}]) == [{"below": [], "peak": [0.1, 0.2]}]


def infer(shaped: Shaped, tensors: dict[str, Any]) -> dict[str, Any]:
    """What the Open Inference Protocol answers, as arrays."""
    batch = oip(shaped.contract, **tensors)
    (found,) = predict(ModelRoute(model(shaped)), batch, MemoryFeatures(), 0.0)
    asked = oip_infer.Asked(None, batch, [o.name for o in shaped.contract.outputs], set())
    body = orjson.loads(oip_infer.encode(asked, found).body)
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]).tolist() for o in body["outputs"]}


def test_a_tensor_has_rows_of_one_shape() -> None:
    tokens = {"tokens": ("INT64", [2, 3], [1, 2, 3, 4, 5, 6])}
    mask = {"mask": ("INT64", [2, 3], [1, 1, 1, 0, 0, 1])}
    assert infer(TOKENS, tokens | mask) == {"kept": [[1, 2, 3], [0, 0, 6]], "total": [6, 6]}
    words = {"words": ("BYTES", [2, 2], ["a", "b", "c", "d"])}
    assert infer(WORDS, words) == {"same": [["a", "b"], ["c", "d"]]}
    one_line = {"image": ("FP32", [1, 1, 2, 2], [1, 2, 3, 4])}
    assert infer(IMAGE, one_line) == {"below": [[]], "peak": [[3, 4]]}
    long = {"tokens": ("INT64", [1, 7], [0] * 7)}
    with pytest.raises(BadInput, match=r"^tokens: expected shape \[1, up to 6\], got shape \[1, 7"):
        oip(TOKENS.contract, **long, mask=("INT64", [1, 7], [0] * 7))


def test_a_tensor_cannot_hold_rows_of_several_shapes() -> None:
    found = SHAPED["one row at a time, no dimension of rows"]
    with pytest.raises(BadInput, match=r"^found: expected rows of one shape, since a tensor has"):
        infer(found, {"x": ("FP32", [2, 3], [1, 1, 1, 0, 0, 1])})
    assert infer(found, {"x": ("FP32", [1, 3], [1, 0, 1])}) == {"found": [[[0], [2]]], "peak": [1]}


def test_sagemakers_forms_take_arrays_of_the_only_feature() -> None:
    image = np.array(IMAGE.rows[0]["image"], np.float32)
    contract = IMAGE.contract
    bodies = {
        "one instance": (json.dumps({"instances": [image.tolist()]}).encode(), "application/json"),
        "a line": (json.dumps(image.tolist()).encode() + b"\n", "application/jsonlines"),
    }
    batches = [invoke(contract, *body) for body in bodies.values()]
    batches += [npy(contract, image), npy(contract, np.stack([image, image])), npy(contract, 5)]
    found = [score(model(IMAGE), batch) for batch in batches]
    assert [len(scores.index) for scores in found] == [1, 1, 1, 2, 0]
    for scores in found[:4]:
        for row in scores.outputs["below"]:
            assert row.tobytes() == image[1:].tobytes()
    assert [refusal.got for refusal in found[4].refusals] == ["shape []"]


@pytest.mark.parametrize(
    ("body", "media", "field"),
    [
        (b"1,2\n", "text/csv", "body: expected JSON objects by name: tokens has no fixed number"),
        (b"[[1,2,1,1]]", "application/json", "body: expected JSON objects by name: tokens has no"),
    ],
)
def test_values_in_order_need_a_fixed_number(body: bytes, media: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        invoke(TOKENS.contract, body, media)
    assert str(caught.value).startswith(field)


def test_a_csv_file_cannot_hold_rows_of_different_shapes() -> None:
    with pytest.raises(
        BadInput, match=r"^tokens: expected JSONL or Parquet, as its lists may have"
    ):
        CSV_FORMS["batch csv"](TOKENS.contract, [{"tokens": "1", "mask": "1"}])


def test_an_answer_in_csv_or_npy_needs_fixed_outputs() -> None:
    (found,) = predict(ModelRoute(model(TOKENS)), by_records(TOKENS), MemoryFeatures(), 0.0)
    for media in ("text/csv", "application/x-npy"):
        with pytest.raises(UnsupportedMedia, match=r"^Accept: expected JSON: kept has no fixed"):
            sagemaker.encode(sagemaker.Asked(found.batch, media=media), found)


def test_kserves_answers_hold_lists_of_their_own_length() -> None:
    (found,) = predict(ModelRoute(model(TOKENS)), by_records(TOKENS), MemoryFeatures(), 0.0)
    body = orjson.loads(kserve.encode(kserve.Asked(found.batch), found).body)
    assert body["predictions"][:2] == [{"kept": [5, 0, 7], "total": 12}, {"kept": [9], "total": 9}]


def test_the_largest_request_has_the_largest_rows() -> None:
    rows = TOKENS.contract.limits.rows
    assert TOKENS.contract.max_values == rows * (2 + 12)
    assert STATE.contract.max_values == rows * (2 + 2 + 6)
