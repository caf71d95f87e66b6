"""Sessions over graphs: they run, they fail in our words, they are made as the machine allows."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.kits.packages import contract, graph
from tests.kits.shapes import STATE, graph_of

from quintet.columns import from_records
from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel, available_threads, session_options
from quintet.scoring import score
from quintet_publish.graph_checks import check_graph
from quintet_publish.problems import PackageError


def test_runs_the_graph() -> None:
    model = OnnxModel(contract(), graph(3.0), digest="abc")
    (y,) = model.run(["y"], {"x": np.array([[1, 2], [3, 4]], np.float32)})
    np.testing.assert_array_equal(y, np.array([[5], [13]], np.float32))
    assert (model.contract, model.digest, model.size) == (contract(), "abc", len(graph(3.0)))


@pytest.mark.parametrize("content", [b"", b"not onnx", graph()[:50]])
def test_what_does_not_load_is_a_model_failure(content: bytes) -> None:
    with pytest.raises(ModelFailure, match=r"^model small version 1 does not load \(\w+\)$"):
        OnnxModel(contract(), content)


def test_a_failing_run_tells_its_kind_and_no_path() -> None:
    batch = from_records(contract(), [{"a": 1.0, "b": 2.0}])
    bad = graph(nodes=[helper.make_node("Gather", ["x", "w"], ["y"])])
    with pytest.raises(ModelFailure, match=r"^model small version 1 (does not load|failed)"):
        score(OnnxModel(contract(), bad), batch)
    narrow = replace(contract().inputs[0], features=("a",))
    model = OnnxModel(replace(contract(), inputs=(narrow,)), graph())
    with pytest.raises(ModelFailure, match=r"^model small version 1 failed \(InvalidArgument\)$"):
        score(model, batch)


def test_rows_come_first_whatever_their_axis_and_constants_are_fed() -> None:
    model = OnnxModel(STATE.contract, STATE.graph)
    x, state = (np.array([row[name] for row in STATE.rows], np.float32) for name in ("x", "state"))
    y, state_out = model.run(["y", "state_out"], {"x": x, "state": state})
    np.testing.assert_array_equal(y, x * 16)
    np.testing.assert_array_equal(state_out, state + x.sum(axis=1).reshape(-1, 1, 1))
    scores = score(model, from_records(STATE.contract, STATE.rows))
    np.testing.assert_array_equal(scores.outputs["y"], y)
    np.testing.assert_array_equal(scores.outputs["state_out"], state_out)


@pytest.mark.parametrize(
    ("shape", "constant", "expected"),
    [([], 3, 3.0), ([1], 3, 3.0), ([1, 2], [2, 4], [[2.0, 4.0]]), (["n"], [5, 6], [5.0, 6.0])],
)
def test_a_constant_takes_the_shape_and_dtype_of_its_input(
    shape: list[int | str], constant: Any, expected: Any
) -> None:
    content = graph_of(
        [helper.make_node("Mul", ["x", "c"], ["y"])],
        {"x": ("float32", ["rows", 2]), "c": ("float32", shape)},
        {"y": ("float32", ["rows", "n"])},
    )
    model = OnnxModel(replace(contract(), constants={"c": constant}), content)
    (y,) = model.run(["y"], {"x": np.array([[1, 10]], np.float32)})
    np.testing.assert_array_equal(y, np.multiply([[1, 10]], expected).astype(np.float32))


@pytest.mark.parametrize(
    ("environ", "threads"),
    [
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, 1),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, 1),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1770"}, 2),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"}, 6),
        ({}, os.cpu_count()),
    ],
)
def test_threads_are_the_vcpus_that_memory_brings(environ: dict[str, str], threads: int) -> None:
    assert available_threads(environ) == threads


def test_session_options() -> None:
    options = session_options(3)
    assert options.intra_op_num_threads == 3
    assert options.inter_op_num_threads == 1
    assert options.enable_mem_pattern is False
    assert options.enable_cpu_mem_arena is False
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_telemetry_is_off() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def narrow(*others: Feature) -> tuple[Contract, Any]:
    """x as bfloat16, and widened again by the graph; the contract says float32 for both."""
    kinds = {"string": TensorProto.STRING, "float32": TensorProto.FLOAT}
    value = helper.make_tensor_value_info
    features = (Feature(name="x", dtype="float32"), *others)
    made = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16),
            helper.make_node("Cast", ["narrow"], ["wide"], to=TensorProto.FLOAT),
        ],
        "g",
        [value(feature.name, kinds[feature.dtype], ["n"]) for feature in features],
        [value("narrow", TensorProto.BFLOAT16, ["n"]), value("wide", TensorProto.FLOAT, ["n"])],
    )
    contract = Contract(
        name="narrow",
        version=1,
        task="t",
        features=features,
        inputs=tuple(Input(name=f.name, dtype=f.dtype, shape=(-1,)) for f in features),
        outputs=tuple(
            Output(name=name, dtype="float32", shape=(-1,), meaning="value")
            for name in ("wide", "narrow")
        ),
    )
    opsets = [helper.make_opsetid("", 21)]
    return contract, helper.make_model(made, opset_imports=opsets, ir_version=10)


def test_outputs_of_bfloat16_are_widened() -> None:
    contract, made = narrow()
    check_graph(contract, made)
    model = OnnxModel(contract, made.SerializeToString())
    values = [0.1, -2.25, 3e38, 0.0, -0.0, 1e-40]
    outputs = score(model, from_records(contract, [{"x": value} for value in values])).outputs
    assert outputs["narrow"].dtype == np.float32
    assert outputs["narrow"].tobytes() == outputs["wide"].tobytes()
    assert outputs["narrow"].tolist()[:2] == [0.10009765625, -2.25]


def test_outputs_of_bfloat16_beside_texts_are_refused() -> None:
    with pytest.raises(PackageError) as caught:
        check_graph(*narrow(Feature(name="text", dtype="string")))
    assert [*map(str, caught.value.problems)] == [
        "model.yaml: outputs.narrow.dtype: the graph's is bfloat16, which onnxruntime does not "
        "return beside string inputs; end the graph in a Cast to float32"
    ]
