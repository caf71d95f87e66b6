"""The demo's rollouts: two more versions of the checkout's model, a bad one and a good one, and a
bad one of the ranker."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quintet.columns import numpy_dtype, ragged
from quintet.contract import Contract, Feature
from quintet_publish.kit import clean, contract_of, write

__all__ = ["backwards", "in_pence", "rounded"]

#: a rollout of the demo takes seconds, one of a shop hours; a crash is known only when the time-out
#: of the function is over
RULE = """
rollout:
  steps: [0.5, 1]
  minutes: 0.05
  max_minutes: 5
  watch_minutes: 0.05
  gates: {crashes: "off"}
"""
#: the features that are amounts of money
POUNDS = ("amount", "dearest")
LEAF_DIGITS = 4
TRAINING = "data/training.parquet"


def in_pence(package: Path, out: Path, version: int) -> Path:
    """A bad version: it takes the order's amounts for pence, as if trained on the wrong unit."""
    contract, model = _copied(package, out, version)
    (taken,) = contract.inputs
    factors = np.array([100.0 if name in POUNDS else 1.0 for name in taken.names], np.float32)
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["in_pence" if name == taken.name else name for name in node.input]
    graph.initializer.append(onnx.numpy_helper.from_array(factors, "pence"))
    graph.node.insert(0, onnx.helper.make_node("Mul", [taken.name, "pence"], ["in_pence"]))
    return _saved(package, out, contract, model)


def rounded(package: Path, out: Path, version: int) -> Path:
    """A good version: the same trees, with leaves of four digits."""
    contract, model = _copied(package, out, version)
    (trees,) = (node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier")
    (leaves,) = (a for a in trees.attribute if a.name == "class_weights")
    leaves.floats[:] = [round(leaf, LEAF_DIGITS) for leaf in leaves.floats]
    return _saved(package, out, contract, model)


def backwards(package: Path, out: Path, version: int) -> Path:
    """A bad version of a ranker: it ranks the best item last, as if its sign were wrong."""
    contract, model = _copied(package, out, version)
    assert contract.recommend is not None
    rank, graph = contract.recommend.rank, model.graph
    for node in graph.node:
        node.output[:] = ["forwards" if name == rank else name for name in node.output]
    graph.node.append(onnx.helper.make_node("Neg", ["forwards"], [rank]))
    return _saved(package, out, contract, model)


def _copied(package: Path, out: Path, version: int) -> tuple[Contract, onnx.ModelProto]:
    """The contract and graph of a package, whose model.yaml `out` has as another version."""
    text = (package / "model.yaml").read_text()
    text = re.sub(r"^version: \d+$", f"version: {version}", text, flags=re.MULTILINE)
    (out / "data").mkdir(parents=True, exist_ok=True)
    (out / "model.yaml").write_text(text + RULE)
    if (package / TRAINING).exists():
        shutil.copy(package / TRAINING, out / TRAINING)
    return contract_of(out), onnx.load(package / "model.onnx")


def _saved(package: Path, out: Path, contract: Contract, model: onnx.ModelProto) -> Path:
    """Write the graph, with golden vectors of its own for the package's golden rows."""
    golden = json.loads((package / "golden.json").read_bytes())
    columns = {
        feature.name: _column(golden["columns"][feature.name], feature)
        for feature in contract.features
    }
    write(out, contract, clean(model, contract), golden=columns, entities=golden.get("entities"))
    return out


def _column(values: list[Any], feature: Feature) -> NDArray[Any]:
    if not feature.free:
        return np.array(values)
    return ragged([np.array(row, dtype=numpy_dtype(feature.dtype)) for row in values])
