"""The models that the HTTP tests of Triton, KServe and MLServer ask, as contracts and graphs.

Their own models are made for one server: identities, `simple`, `sum-model`. Each has the tensors
that its tests send, with a first dimension of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from tests.kits.local_aws import LocalAws
from tests.kits.models import graph_of, publish_graph

from quintet.contract import Contract, DType, Feature, Input, Limits, Output

__all__ = ["publish_port_models"]

#: name, dtype and shape of one row
Tensor = tuple[str, DType, tuple[int, ...]]


def _contract(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Contract:
    return Contract(
        name=name,
        version=1,
        task="port",
        features=tuple(
            Feature(
                name=tensor,
                dtype=dtype,
                shape=() if shape == (1,) else shape,
                max=(8, 8) if -1 in shape else None,
            )
            for tensor, dtype, shape in inputs
        ),
        inputs=tuple(Input(name=n, dtype=d, shape=(-1, *shape)) for n, d, shape in inputs),
        outputs=tuple(
            Output(
                name=n,
                dtype=d,
                shape=(-1, *shape),
                meaning="value",
                max=(8, 8) if -1 in shape else None,
            )
            for n, d, shape in outputs
        ),
        limits=Limits(rows=10),
    )


def _identity(name: str, dtype: DType, width: int) -> Contract:
    return _contract(name, [("INPUT0", dtype, (width,))], [("OUTPUT0", dtype, (width,))])


#: each contract with the nodes of its graph
MODELS: dict[str, tuple[Contract, list[Any]]] = {
    contract.name: (contract, nodes)
    for contract, nodes in (
        (
            _identity("identity_float32", "float32", 8),
            [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        ),
        (
            _contract(
                "identity_float16",
                [("INPUT0", "float16", (-1, -1))],
                [("OUTPUT0", "float16", (-1, -1))],
            ),
            [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        ),
        (
            _identity("identity_text", "string", 1),
            [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        ),
        (
            _identity("identity_texts", "string", 4),
            [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        ),
        (
            _contract(
                "simple",
                [("INPUT0", "int32", (16,)), ("INPUT1", "int32", (16,))],
                [("OUTPUT0", "int32", (16,)), ("OUTPUT1", "int32", (16,))],
            ),
            [
                helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
                helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
            ],
        ),
        (
            _contract("testmodel", [("input-0", "int32", (2,))], [("output-0", "int32", (2,))]),
            [helper.make_node("Identity", ["input-0"], ["output-0"])],
        ),
        (
            _contract(
                "fp16-input-model",
                [("fp16_input", "float16", (4,)), ("str_input", "string", (4,))],
                [("str_output", "string", (4,)), ("fp32_output", "float32", (4,))],
            ),
            [
                helper.make_node("Identity", ["str_input"], ["str_output"]),
                helper.make_node("Cast", ["fp16_input"], ["fp32_output"], to=TensorProto.FLOAT),
            ],
        ),
        (
            _contract(
                "fp16-output-model",
                [("fp32_input", "float32", (4,))],
                [("fp16_output", "float16", (4,)), ("fp32_output", "float32", (4,))],
            ),
            [
                helper.make_node("Cast", ["fp32_input"], ["fp16_output"], to=TensorProto.FLOAT16),
                helper.make_node("Identity", ["fp32_input"], ["fp32_output"]),
            ],
        ),
        (
            _contract("sum-model", [("input-0", "int32", (3,))], [("total", "int32", (1,))]),
            [helper.make_node("ReduceSum", ["input-0", "axis"], ["total"], keepdims=1)],
        ),
    )
}


def publish_port_models(local: LocalAws) -> None:
    """Publish all of them to a local AWS."""
    for contract, nodes in MODELS.values():
        constants = {"axis": np.array([1], dtype=np.int64)} if contract.name == "sum-model" else {}
        rows = {
            feature.name: [
                np.full(
                    [abs(n) for n in feature.shape], "a" if feature.dtype == "string" else 1
                ).tolist()
            ]
            for feature in contract.features
        }
        publish_graph(contract, graph_of(contract, nodes, **constants), rows, local.registry)
