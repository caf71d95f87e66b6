"""The demo's rollouts: two more versions of the checkout's model, a bad one and a good one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx

from quintet.contract import Contract
from quintet_publish.kit import clean, contract_of, write

__all__ = ["in_pence", "rounded"]

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


def _copied(package: Path, out: Path, version: int) -> tuple[Contract, onnx.ModelProto]:
    """The contract and graph of a package, whose model.yaml `out` has as another version."""
    text = (package / "model.yaml").read_text()
    text = re.sub(r"^version: \d+$", f"version: {version}", text, flags=re.MULTILINE)
    (out / "data").mkdir(parents=True, exist_ok=True)
    (out / "model.yaml").write_text(text + RULE)
    shutil.copy(package / "data/training.parquet", out / "data")
    return contract_of(out), onnx.load(package / "model.onnx")


def _saved(package: Path, out: Path, contract: Contract, model: onnx.ModelProto) -> Path:
    """Write the graph, with golden vectors of its own for the package's golden rows."""
    golden = json.loads((package / "golden.json").read_bytes())
    columns = {name: np.array(values) for name, values in golden["columns"].items()}
    write(out, contract, clean(model, contract), golden=columns, entities=golden["entities"])
    return out
