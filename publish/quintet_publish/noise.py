"""Measures how far a graph's own outputs differ by how it is run: the noise of its floats.

A sum of floats depends on its order, and kernels choose the order by the number of rows and
threads, the optimised form of the graph and the processor. Rows that depend on each other (batch
statistics, dynamic quantisation) differ as well, which is no noise.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnxruntime

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel, session_options
from quintet.scoring import Model
from quintet.serving import golden
from quintet_publish.tolerance import Noise

__all__ = ["SINGLES", "dependence", "margin", "measure"]

ROWS = 256  # of the golden rows
SINGLES = 8  # rows that are also scored one by one
THREADS = 2

#: the outputs of each row that was scored
Rows = dict[int, dict[str, Array]]


def measure(model: Model, graph: bytes, vectors: golden.Golden) -> Noise:
    """Run golden rows together, alone, without graph optimisation and on two threads.

    `model` is the graph as it is served. A way that fails is left out: the limits of the process
    may not allow a second thread, or the memory of another session.

    Raises:
        ModelFailure: the model failed.
    """
    vectors = vectors.head(ROWS)
    together = _scored(model, vectors)
    found = [
        _spread(model.contract, together, rows, ways)
        for ways, rows in _other_ways(model, graph, vectors)
    ]
    flipping = next((noise.flipping for noise in found if noise.flipping), "")
    return replace(max(found, key=lambda noise: noise.largest), flipping=flipping)


def _other_ways(model: Model, graph: bytes, vectors: golden.Golden) -> Iterator[tuple[str, Rows]]:
    for row in range(min(SINGLES, vectors.rows)):
        yield "alone and together", _scored(model, vectors.slice(row, row + 1), row)
    plain, threaded = session_options(1), session_options(THREADS)
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for ways, options in (
        ("with and without graph optimisation", plain),
        (f"on one thread and on {THREADS}", threaded),
    ):
        with contextlib.suppress(ModelFailure, MemoryError):
            yield ways, _scored(OnnxModel(model.contract, graph, options=options), vectors)


def dependence(model: Model, vectors: golden.Golden) -> golden.Difference | None:
    """Find a row whose outputs depend on the rows beside it, beyond the tolerance.

    The row is scored among the golden rows, and among as many copies of itself: kernels then sum
    in the same order, so that outputs of independent rows are the same to the last bit.

    Raises:
        ModelFailure: a run failed.
    """
    vectors = vectors.head(ROWS)
    together = _scored(model, vectors)
    for row in range(min(SINGLES, vectors.rows)):
        copies = _scored(model, vectors.slice(row, row + 1).repeated(vectors.rows))
        if row in together and row in copies:
            for output in model.contract.outputs:
                among, alone = (rows[row][output.name] for rows in (copies, together))
                if found := golden.compare(output, row, among, alone, vectors.tolerance):
                    return found[0]
    return None


def margin(model: Model, vectors: golden.Golden) -> float:
    """Return the largest difference from the golden outputs, as a share of what is allowed.

    Raises:
        ModelFailure: a run failed.
    """
    found = 0.0
    for row, outputs in _scored(model, vectors).items():
        for output in model.contract.outputs:
            expected = golden.expected_values(output, vectors.outputs[output.name][row])
            got = np.asarray(outputs[output.name])
            if got.size:  # JSON does not show the dimensions of what is empty
                apart = golden.ratios(expected, got, vectors.tolerance)
                found = max(found, float(apart.max()))
    return found


def _scored(model: Model, vectors: golden.Golden, first: int = 0) -> Rows:
    """Score rows of which the first has the number `first`; without those of the fallback rule."""
    scores = golden.score_columns(model, vectors.columns)
    return {
        first + int(row): {name: values[place] for name, values in scores.outputs.items()}
        for place, row in enumerate(scores.index)
        if not scores.fallback[place]
    }


def _spread(contract: Contract, one: Rows, other: Rows, ways: str) -> Noise:
    """Return the largest difference of two scorings of the same rows."""
    largest, flipping = 0.0, ""
    for row in one.keys() & other.keys():
        for output in contract.outputs:
            expected, got = (np.asarray(rows[row][output.name]) for rows in (one, other))
            if expected.shape != got.shape:
                flipping = output.name
                continue
            apart = float(golden.ratios(expected, got, 1.0).max(initial=0.0))
            if math.isfinite(apart):
                largest = max(largest, apart)
            else:
                flipping = output.name
    return Noise(largest, ways, flipping)
