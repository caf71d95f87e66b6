"""Outputs as JSON objects, one a row: the text that callers get."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.kits.models import SHOP

from quintet.columns import json_rows, ragged
from quintet.contract import Contract, Feature, Input, Output

ROWS = 2
NO = np.zeros(ROWS, np.bool_)


def contract(*outputs: Output) -> Contract:
    return Contract(
        name="m",
        version=1,
        task="t",
        features=(Feature(name="x", dtype="float32"),),
        inputs=(Input(name="x", dtype="float32", shape=(-1, 1)),),
        outputs=outputs,
    )


def written(output: Output, values: Any) -> list[str]:
    return [row.decode() for row in json_rows(contract(output), {output.name: values}, NO)]


def test_numbers_are_the_shortest_that_read_back_in_their_dtype() -> None:
    score = Output(name="score", dtype="float32", shape=(-1, 1), meaning="score", finite=False)
    found = written(score, np.array([[0.1], [np.nan]], np.float32))
    assert found == ['{"score":0.1}', '{"score":null}']
    wide = Output(name="a", dtype="float64", shape=(-1,), meaning="value")
    assert written(wide, np.array([0.1, 1e300])) == ['{"a":0.1}', '{"a":1e+300}']
    flag = Output(name="a", dtype="bool", shape=(-1,), meaning="value")
    assert written(flag, np.array([True, False])) == ['{"a":true}', '{"a":false}']


def test_a_label_comes_with_its_class() -> None:
    label = Output(name="y", dtype="int64", shape=(-1,), meaning="label", classes=("a,b", "c%d"))
    assert written(label, np.array([1, 7])) == [
        '{"y":1,"y_class":"c%d"}',
        '{"y":7,"y_class":null}',
    ]
    named = Output(
        name="y", dtype="string", shape=(-1,), meaning="label", classes={"n": "no", "y,": "yes"}
    )
    texts = np.array(["y,", 'q"'], dtype=object)
    assert written(named, texts) == ['{"y":"y,","y_class":"yes"}', '{"y":"q\\"","y_class":null}']


def test_probabilities_are_objects_by_class() -> None:
    output = Output(
        name="100%", dtype="float32", shape=(-1, 2), meaning="probabilities", classes=("%b", '"')
    )
    values = np.asfortranarray([[0.1, 0.9], [1, 0]], np.float32)
    assert written(output, values) == [
        '{"100%":{"%b":0.1,"\\"":0.9}}',
        '{"100%":{"%b":1.0,"\\"":0.0}}',
    ]


def test_vectors_matrices_texts_and_free_shapes_are_arrays() -> None:
    three = Output(name="v", dtype="float32", shape=(-1, 3), meaning="embedding")
    six = np.arange(6, dtype=np.float32).reshape(2, 3) / 10
    assert written(three, six) == ['{"v":[0.0,0.1,0.2]}', '{"v":[0.3,0.4,0.5]}']
    none = Output(name="v", dtype="float32", shape=(-1, 0), meaning="embedding")
    assert written(none, np.empty((2, 0), np.float32)) == ['{"v":[]}', '{"v":[]}']
    deep = Output(name="v", dtype="int64", shape=(-1, 1, 2), meaning="value")
    assert written(deep, np.arange(4).reshape(2, 1, 2)) == ['{"v":[[0,1]]}', '{"v":[[2,3]]}']
    text = Output(name="v", dtype="string", shape=(-1, 2), meaning="value")
    words = np.array([["a,", "]"], ["[", "é"]], dtype=object)
    assert written(text, words) == ['{"v":["a,","]"]}', '{"v":["[","é"]}']
    free = Output(name="v", dtype="float32", shape=(-1, -1), meaning="value", max=3)
    rows = ragged([np.array([0.1], np.float32), np.array([1, 2], np.float32)])
    assert written(free, rows) == ['{"v":[0.1]}', '{"v":[1.0,2.0]}']


def test_the_fallback_and_ages_follow_the_outputs_that_were_asked_for() -> None:
    ages = np.array([[0.12345], [np.nan]])
    found = json_rows(SHOP, {"label": np.array([1, 0])}, np.array([False, True]), ages)
    assert [row.decode() for row in found] == [
        '{"label":1,"label_class":"cancelled","fallback":false,'
        '"features_age_s":{"orders_90d":0.123}}',
        '{"label":0,"label_class":"kept","fallback":true,"features_age_s":{"orders_90d":null}}',
    ]


def test_no_rows_are_no_objects() -> None:
    output = Output(name="v", dtype="float32", shape=(-1, 3), meaning="embedding")
    empty = {"v": np.empty((0, 3), np.float32)}
    assert json_rows(contract(output), empty, np.zeros(0, np.bool_)) == []
