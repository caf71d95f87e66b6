"""The cost of creating a session: as published, and from a graph optimised beforehand.

    python benchmarks/sessions.py [models/fraud ...]

Creates sessions from the two graphs in turn, in one process, on one thread. Prints the medians in
milliseconds, the size, the memory that a session adds, and whether the outputs are bit-identical.
Besides the packages named (by default the examples) it measures a small CNN and a wide MLP.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import psutil
from onnx import TensorProto, helper, numpy_helper

from quintet.contract import Contract
from quintet.errors import ModelFailure
from quintet.onnx_model import session_options
from quintet.serving import golden
from quintet_publish.model_yaml import read_contract

ROUNDS = 30
ROOT = Path(__file__).parents[1]


class Case(NamedTuple):
    """A graph and its inputs."""

    name: str
    graph: bytes
    feeds: dict[str, Any]


class Recorder:
    """Stands in for a model and records the inputs that scoring passes to it."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.feeds: dict[str, Any] = {}

    def run(self, outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
        """Keep the inputs."""
        self.feeds = feeds
        raise ModelFailure("recorded")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="packages; default: the examples")
    folders = parser.parse_args().folders
    print(f"{'graph':<16}{'bytes':>12}{'plain ms':>10}{'saved ms':>10}{'memory MB':>11}  same bits")
    rng = np.random.default_rng(1)
    examples = sorted(str(path.parent) for path in ROOT.glob("models/*/model.onnx"))
    cases = [example(Path(folder)) for folder in folders or examples]
    images = {"x": rng.uniform(0, 1, (4, 3, 32, 32)).astype(np.float32)}
    vectors = {"x": rng.uniform(0, 1, (4, 2000)).astype(np.float32)}
    cases += [Case("cnn, 12 layers", cnn(), images), Case("mlp, 3 x 2000", mlp(), vectors)]
    for case in cases:
        saved = optimised(case.graph)
        plain_ms, saved_ms = interleaved(case.graph, saved)
        pairs = zip(
            session(case.graph).run(None, case.feeds),
            session(saved, optimise=False).run(None, case.feeds),
            strict=True,
        )
        same = all(np.array_equal(ours, theirs) for ours, theirs in pairs)
        print(
            f"{case.name:<16}{len(case.graph):>12,}{plain_ms:>10.2f}{saved_ms:>10.2f}"
            f"{memory(case.graph) / 1e6:>11.1f}  {same}"
        )


def example(folder: Path) -> Case:
    """Return a model package with its golden rows as inputs."""
    contract = read_contract((folder / "model.yaml").read_bytes())
    recorder = Recorder(contract)
    vectors = golden.golden_from_dict(json.loads((folder / "golden.json").read_text("utf-8")))
    with contextlib.suppress(ModelFailure):
        golden.check(recorder, vectors)
    return Case(contract.name, (folder / "model.onnx").read_bytes(), recorder.feeds)


def cnn() -> bytes:
    """Images of 3 x 32 x 32 through twelve convolutions with batch normalisation."""
    rng = np.random.default_rng(0)
    nodes, weights, width = [], [], 64
    value, channels = "x", 3
    for layer in range(12):
        w = rng.normal(0, 0.05, (width, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        for part in ("scale", "bias", "mean", "var"):
            values = np.full(width, 0.0 if part in ("bias", "mean") else 1.0, np.float32)
            weights.append(numpy_helper.from_array(values, f"{part}{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1] * 4))
        names = [f"{part}{layer}" for part in ("scale", "bias", "mean", "var")]
        nodes.append(helper.make_node("BatchNormalization", [f"c{layer}", *names], [f"b{layer}"]))
        nodes.append(helper.make_node("Relu", [f"b{layer}"], [f"r{layer}"]))
        value, channels = f"r{layer}", width
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"]))
    return graph_of(nodes, weights, [3, 32, 32], 4)


def mlp() -> bytes:
    """Vectors of 2,000 through three dense layers: 48 MB of weights."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for layer in range(3):
        w = rng.normal(0, 0.02, (2000, 2000)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], ["y" if layer == 2 else f"r{layer}"]))
        value = f"r{layer}"
    return graph_of(nodes, weights, [2000], 2)


def graph_of(nodes: list[Any], weights: list[Any], shape: list[int], rank: int) -> bytes:
    """Build a graph from x (rows, *shape) to y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    graph = helper.make_graph(nodes, "graph", [x], [y], weights)
    opsets = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=8
    ).SerializeToString()
    return content


def session(graph: bytes, *, optimise: bool = True, save: Path | None = None) -> Any:
    """Create a session as the functions do."""
    options = session_options(1)
    if save:
        options.optimized_model_filepath = str(save)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def optimised(graph: bytes) -> bytes:
    """Return the graph after all of onnxruntime's optimisations."""
    with tempfile.TemporaryDirectory() as folder:
        session(graph, save=Path(folder, "saved.onnx"))
        return Path(folder, "saved.onnx").read_bytes()


def interleaved(graph: bytes, saved: bytes) -> tuple[float, float]:
    """Return the medians of creating a session from either graph, in milliseconds."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for plain in (True, False):
            start = time.perf_counter()
            session(graph if plain else saved, optimise=plain)
            times[plain].append((time.perf_counter() - start) * 1000)
    return statistics.median(times[True]), statistics.median(times[False])


def memory(graph: bytes) -> float:
    """Return the bytes that a session adds to the process: the mean of five kept side by side."""
    process = psutil.Process()
    before = process.memory_info().rss
    kept = [session(graph) for _ in range(5)]
    return (process.memory_info().rss - before) / len(kept)


if __name__ == "__main__":
    main()
