"""Metadata of the server and its models in the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import quintet
from quintet.contract import Contract
from quintet.protocols.tensors import DATATYPES
from quintet.serving import ModelStats

__all__ = ["SERVER", "config", "inputs", "model", "outputs", "statistics"]

SERVER = {
    "name": "quintet",
    "version": quintet.__version__,
    "extensions": [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "statistics",
    ],
}


def inputs(contract: Contract) -> list[dict[str, Any]]:
    """The tensors of a request: name, datatype, and shape with -1 for the rows.

    If a request carries all features, these are the graph's inputs; else one tensor for each
    feature of the request, and the entity key.
    """
    if not contract.stored:
        return [
            {
                "name": i.name,
                "datatype": DATATYPES[i.dtype],
                "shape": [-1, *i.row_shape],
            }
            for i in contract.inputs
        ]
    tensors: list[dict[str, Any]] = [
        {"name": f.key, "datatype": DATATYPES[f.dtype], "shape": [-1, *f.shape]}
        for f in contract.requested
    ]
    if contract.entity:
        tensors.append({"name": contract.entity, "datatype": "BYTES", "shape": [-1]})
    return tensors


def outputs(contract: Contract) -> list[dict[str, Any]]:
    """The tensors of an answer."""
    return [
        {"name": o.name, "datatype": DATATYPES[o.dtype], "shape": [-1, *o.row_shape]}
        for o in contract.outputs
    ]


def model(contract: Contract, versions: list[int]) -> dict[str, Any]:
    """A model's metadata."""
    return {
        "name": contract.name,
        "versions": [str(version) for version in versions],
        "platform": "onnx_onnxv1",
        "inputs": inputs(contract),
        "outputs": outputs(contract),
    }


def config(contract: Contract) -> dict[str, Any]:
    """A model's configuration in Triton's format; dims exclude the rows."""
    filled = {feature.name for feature in contract.requested if feature.fill is not None}
    optional = {feature.key for feature in contract.requested if feature.name in filled}
    optional |= {i.name for i in contract.inputs if filled.issuperset(i.names)}
    return {
        "name": contract.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": contract.limits.rows,
        "input": [
            {**_config_tensor(tensor), "optional": tensor["name"] in optional}
            for tensor in inputs(contract)
        ],
        "output": [_config_tensor(tensor) for tensor in outputs(contract)],
    }


def _config_tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = "STRING" if tensor["datatype"] == "BYTES" else tensor["datatype"]
    return {
        "name": tensor["name"],
        "data_type": f"TYPE_{datatype}",
        # Triton writes a scalar per row as one dimension of 1
        "dims": tensor["shape"][1:] or [1],
    }


def statistics(stats: Mapping[tuple[str, int], ModelStats]) -> dict[str, Any]:
    """Statistics of this execution environment, in the format of Triton's extension.

    https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md
    """
    return {
        "model_stats": [
            {
                "name": name,
                "version": str(version),
                "last_inference": int(found.last * 1000),
                "inference_count": found.rows,
                "execution_count": found.runs,
                "inference_stats": {
                    "success": _duration(found.succeeded, found.succeeded_s),
                    "fail": _duration(found.failed, found.failed_s),
                    # an execution environment takes one request at a time: none waits in it
                    "queue": _duration(0, 0.0),
                    "compute_input": _duration(found.runs, found.input_s),
                    "compute_infer": _duration(found.runs, found.infer_s),
                    "compute_output": _duration(found.runs, found.output_s),
                    "cache_hit": _duration(found.hits, found.hits_s),
                },
                "batch_stats": [],
            }
            for (name, version), found in sorted(stats.items())
        ]
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(seconds * 1e9)}
