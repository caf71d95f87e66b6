"""A model of 90 MB, loaded whole and from mapped weights: python -m benchmarks.large_model

Loads both forms in turn, in one process, on one thread: dense layers and convolutions. Times are
processor time, of the kernel too, so that other work of the machine counts little. `session` is
onnxruntime's alone; `hash` reads the file from the page cache, `copy` writes it as a load from S3
does. The fifth run packs the weights; `later` are the runs from the tenth on.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from benchmarks.sessions import graph_of
from onnx import helper, numpy_helper

from quintet.contract import Contract, Input, Output
from quintet.manifest import MAPPED, WEIGHTS
from quintet.onnx_model import PACKED_AT, OnnxModel
from quintet_publish.weights import split

ROUNDS = 7
LATER = 15
#: milliseconds by step
Times = dict[str, float]
CONTRACT = Contract(
    name="large",
    version=1,
    task="regression",
    features=(),
    inputs=(Input(name="x", dtype="float32", shape=(-1, 1)),),
    outputs=(Output(name="y", dtype="float32", shape=(-1, 1), meaning="score"),),
)


def main() -> None:
    """Print a table for each model."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, graph, shape in (("dense", dense(), [1920]), ("convolutions", conv(), [3, 8, 8])):
        feeds = {"x": np.random.default_rng(1).uniform(0, 1, (1, *shape)).astype(np.float32)}
        with tempfile.TemporaryDirectory() as folder:
            forms = (whole(graph, Path(folder)), mapped(graph, Path(folder)))
            times: list[dict[str, list[float]]] = [defaultdict(list), defaultdict(list)]
            for _ in range(ROUNDS):
                for form, found in zip(forms, times, strict=True):
                    gc.collect()
                    for step, ms in form(feeds).items():
                        found[step].append(ms)
        print(f"\n{name}, {len(graph) / 1e6:.0f} MB, {ROUNDS} pairs, median (lowest, highest) ms")
        print(f"{'':<22}{'whole':>26}{'mapped':>26}{'ratio':>8}  of the pairs")
        for step in times[0]:
            ratios = [b / a for a, b in zip(times[0][step], times[1][step], strict=True)]
            cells = "".join(f"{shown(found[step]):>26}" for found in times)
            spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
            print(f"{step:<22}{cells}{statistics.median(ratios):>8.3f}  {spread}")


def whole(graph: bytes, folder: Path) -> Callable[[Any], Times]:
    """Loads the graph from its bytes, with onnxruntime's default options on one thread."""

    def load(feeds: Any) -> Times:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        copy = timed(lambda: (folder / "whole.onnx").write_bytes(graph))[1]
        digest = timed(lambda: hashlib.sha256((folder / "whole.onnx").read_bytes()))[1]
        model, session = timed(lambda: OnnxModel(CONTRACT, graph, options=options))
        return {"session": session, "hash": digest, "copy": copy, **runs(model, feeds)}

    return load


def mapped(graph: bytes, folder: Path) -> Callable[[Any], Times]:
    """Loads the graph as a large model is loaded."""
    parts, weights = split(graph), folder / WEIGHTS

    def make(packed: bool = True) -> OnnxModel:
        return OnnxModel(CONTRACT, parts[MAPPED], weights=weights, packed=packed)

    def hashed() -> None:
        with weights.open("rb") as file:
            hashlib.file_digest(file, "sha256")

    def load(feeds: Any) -> Times:
        weights.unlink(missing_ok=True)
        copy = timed(lambda: weights.write_bytes(parts[WEIGHTS]))[1]
        digest = timed(hashed)[1]
        model, session = timed(lambda: make(packed=False))
        model.replace_later(make)
        return {"session": session, "hash": digest, "copy": copy, **runs(model, feeds)}

    return load


def runs(model: OnnxModel, feeds: Any) -> Times:
    """The durations of a model's runs."""
    took = [timed(lambda: model.run(["y"], feeds))[1] for _ in range(9 + LATER)]
    return {
        "first run": took[0],
        "runs 2 to 4": statistics.median(took[1 : PACKED_AT - 1]),
        "run 5 (packs)": took[PACKED_AT - 1],
        "later": statistics.median(took[9:]),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the milliseconds of processor time that it took."""
    start = time.process_time()
    return work(), (time.process_time() - start) * 1000


def shown(values: list[float]) -> str:
    """The median, the lowest and the highest."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}, {max(values):.1f})"


def dense() -> bytes:
    """Vectors of 1,920 through six dense layers."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for layer in range(6):
        w = rng.normal(0, 0.02, (1920, 1920)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [f"m{layer}"]))
        value = "y" if layer == 5 else f"r{layer}"
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [value]))
    return graph_of(nodes, weights, [1920], 2)


def conv() -> bytes:
    """Images of 3 x 8 x 8 through eleven convolutions of 512 channels, with batch normalisation."""
    rng = np.random.default_rng(0)
    nodes, weights, value, channels = [], [], "x", 3
    for layer in range(11):
        w = rng.normal(0, 0.02, (512, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        names = [f"{part}{layer}" for part in ("scale", "bias", "mean", "var")]
        for name in names:
            held = np.full(512, 0.0 if name[0] in "bm" else 1.0, np.float32)
            weights.append(numpy_helper.from_array(held, name))
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1] * 4))
        nodes.append(helper.make_node("BatchNormalization", [f"c{layer}", *names], [f"n{layer}"]))
        nodes.append(helper.make_node("Relu", [f"n{layer}"], [f"r{layer}"]))
        value, channels = f"r{layer}", 512
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"]))
    return graph_of(nodes, weights, [3, 8, 8], 4)


if __name__ == "__main__":
    main()
