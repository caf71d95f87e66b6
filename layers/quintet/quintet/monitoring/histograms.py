"""The distribution of a run's scores: one histogram per unit, merged for the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, column_names
from quintet.contract import Contract, Output
from quintet.errors import Transient

__all__ = ["Histogram", "merged", "noting", "watched"]

BINS = 40
CLASSES = 40


def watched(contract: Contract) -> Output | None:
    """Choose the output whose distribution a report shows.

    A score, else the probability of the second of two classes, else a value, else a label.
    """
    found = [output for output in contract.outputs if _rank(output) is not None]
    return min(found, key=lambda output: _rank(output) or 0) if found else None


def _rank(output: Output) -> int | None:
    if output.meaning == "probabilities":
        return 1 if output.row_shape in ((1,), (2,)) else None
    single = output.row_shape in ((), (1,))
    if output.dtype == "string" and output.meaning != "label":
        return None  # texts have no bins, and as many distinct values as rows
    return {"score": 0, "value": 2, "label": 3}.get(output.meaning) if single else None


class Histogram:
    """Counts of one output, added chunk by chunk; for two probabilities, of the second."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._values: list[Array] = []

    def add(self, values: Array) -> None:
        """Add the output of some rows."""
        self._values.append(values.reshape(len(values), -1)[:, -1] if values.size else values[:0])

    def document(self) -> dict[str, Any]:
        """The histogram as JSON: bins of numbers, or rows per class for labels."""
        values = np.concatenate([v.reshape(-1) for v in self._values] or [np.empty(0)])
        values = values if self._output.meaning == "label" else values.astype(np.float64)
        name = column_names(self._output)[-1]
        head = {"output": name, "meaning": self._output.meaning}
        if self._output.meaning == "label":
            return {**head, "classes": self._by_class(values)}
        values = values[np.isfinite(values)]
        if not len(values):
            return {**head, "low": 0.0, "high": 1.0, "counts": [0] * BINS, "sum": 0.0}
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        counts = np.bincount(_places(values, low, high), minlength=BINS)
        with np.errstate(over="ignore"):
            total = float(values.sum())
        return {**head, "low": low, "high": high, "counts": counts.tolist(), "sum": _finite(total)}

    def _by_class(self, values: Array) -> dict[str, int]:
        kinds, counts = np.unique(values.astype(object).astype(str), return_counts=True)
        names = {str(label): name for label, name in self._output.class_of.items()}
        found: dict[str, int] = {}
        order = np.argsort(-counts, kind="stable")
        for kind, count in zip(kinds[order].tolist(), counts[order].tolist(), strict=True):
            name = names.get(kind, kind)
            name = name if len(found) < CLASSES or name in found else "others"
            found[name] = found.get(name, 0) + count
        return found


def _places(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.int64]:
    """The bin of each value between `low` and `high`, also if these are equal or far apart."""
    half = high / 2 - low / 2  # halve first: the full range of the largest floats would overflow
    if not half:
        return np.zeros(len(values), dtype=np.int64)
    share = (values / 2 - low / 2) / half
    return np.clip((share * BINS).astype(np.int64), 0, BINS - 1)


def _finite(total: float | None) -> float | None:
    """A sum for JSON; None if it overflows."""
    return total if total is not None and math.isfinite(total) else None


def merged(documents: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Merge the histograms of units; a bin with other borders goes where its middle lies."""
    parts = [d for d in documents if d]
    if not parts:
        return None
    head = {"output": parts[0]["output"], "meaning": parts[0]["meaning"]}
    if "classes" in parts[0]:
        classes: dict[str, int] = {}
        for part in parts:
            for name, count in part["classes"].items():
                classes[name] = classes.get(name, 0) + count
        return {**head, "classes": dict(sorted(classes.items(), key=lambda c: (-c[1], c[0])))}
    parts = [p for p in parts if sum(p["counts"])] or parts[:1]
    low, high = min(p["low"] for p in parts), max(p["high"] for p in parts)
    counts = np.zeros(BINS, dtype=np.int64)
    share = (np.arange(BINS) + 0.5) / BINS
    for part in parts:
        middles = part["low"] * (1 - share) + part["high"] * share
        np.add.at(counts, _places(middles, low, high), part["counts"])
    sums = [part["sum"] for part in parts]
    total = None if None in sums else _finite(sum(sums))
    return {**head, "low": low, "high": high, "counts": counts.tolist(), "sum": total}


@contextmanager
def noting(notes: list[str], what: str) -> Iterator[None]:
    """Add a note if `what` cannot be computed, for any reason.

    Raises:
        Transient: a store could not be read.
    """
    try:
        yield
    except Transient:
        raise
    except Exception as error:  # statistics must not fail the rows that they describe
        note = f"{what} could not be computed ({type(error).__name__})."
        if note not in notes:
            notes.append(note)
