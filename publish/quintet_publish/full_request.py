"""Runs a model with the rows of its largest request, and reports how many fit serving's limits."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel
from quintet.serving import golden

__all__ = ["GROWTH", "Recorded", "grow", "peak_memory"]

GROWTH = 4  # factor of the rows from step to step
SHOWN = 100  # maximum number of differences to report


class Recorded:
    """A model that records its last inputs, their outputs, and the duration."""

    def __init__(self, model: OnnxModel) -> None:
        self.contract = model.contract
        self.digest = model.digest
        self.feeds: dict[str, Array] = {}
        self.results: dict[str, Array] = {}
        self.ms = 0.0
        self._model = model

    def run(self, outputs: Sequence[str], feeds: dict[str, Array], /) -> list[Array]:
        """See `quintet.scoring.Model.run`; a model's exception becomes a ModelFailure."""
        start = time.perf_counter()
        try:
            results = self._model.run(outputs, feeds)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            name, version = self.contract.name, self.contract.version
            raise ModelFailure(
                f"model {name} version {version} failed ({type(error).__name__})"
            ) from error
        self.ms = (time.perf_counter() - start) * 1000
        self.feeds, self.results = feeds, dict(zip(outputs, results, strict=True))
        return results


def grow(
    model: Recorded, tolerance: float, seconds: float, report: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run the last inputs repeatedly, with more and more rows, up to a full request.

    `report` is called after each step with its rows, milliseconds and the memory so far; returns
    the
    last step, or the one that would take more than `seconds`, with its differences.
    """
    feeds, expected, ms = model.feeds, model.results, model.ms
    rows = len(next(iter(feeds.values())))
    most = max(rows, model.contract.limits.rows)
    step: dict[str, Any] = {"rows": rows, "ms": ms, "memory": peak_memory()}
    while rows < most:
        report(step)
        wanted = min(rows * GROWTH, most)
        if ms * wanted / rows > 2 * seconds * 1000:
            return {**step, "slow": {"rows": wanted, "ms": ms * wanted / rows}}
        rows = wanted
        got = model.run(list(expected), {name: _tiled(a, rows) for name, a in feeds.items()})
        ms = model.ms
        if ms > seconds * 1000:
            return {**step, "slow": {"rows": rows, "ms": ms}}
        step = {"rows": rows, "ms": ms, "memory": peak_memory()}
        results = dict(zip(expected, got, strict=True))
        if differences := _differences(model.contract, expected, results, rows, tolerance):
            return {**step, "differences": differences}
    return step


def peak_memory() -> int:
    """Return this process's peak memory in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):  # not Linux, where ru_maxrss also counts the parent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _tiled(array: Array, rows: int) -> Array:
    """Repeat the rows of an array."""
    return np.resize(array, (rows, *array.shape[1:]))


def _differences(
    contract: Contract,
    expected: dict[str, Array],
    results: dict[str, Array],
    rows: int,
    tolerance: float,
) -> list[golden.Difference]:
    found: list[golden.Difference] = []
    for output in contract.outputs:
        want, have = _tiled(expected[output.name], rows), results[output.name]
        if want.shape != have.shape:
            raise ModelFailure(
                f"the model's output {output.name} is {have.dtype} {list(have.shape)} of "
                f"{rows:,} rows; expected {list(want.shape)}"
            )
        apart = golden.ratios(want, have, tolerance) > 1
        for row, *inner in np.argwhere(apart)[:SHOWN].tolist():
            place, name = (row, *inner), f"{output.name}{inner}" if inner else output.name
            found.append(golden.difference_of(row, name, want[place], have[place], tolerance))
    return found
