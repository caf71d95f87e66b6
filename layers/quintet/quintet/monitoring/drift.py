"""Drift: how far the data of a run has moved from the model's training data, by feature.

Units count a sample of their rows in the bins of the model's baseline; the report adds the counts
and compares their shares by the population stability index, the sum of (p - q) ln(p / q). For
unchanged data the index is (1/n + 1/m) times a chi-squared variable with bins - 1 degrees of
freedom (Yurdakul and Naranjo, 2020, doi:10.21314/JRMV.2020.227): a smaller index is noise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, numpy_dtype, values_of
from quintet.contract import Contract, Feature

__all__ = ["Reference", "Sample", "category", "drift_of"]

#: approximate rows that a unit samples per feature: enough for the bins, at almost no cost
ROWS = 4096
#: the index from which drift counts as some, or as large (a rule of thumb from credit scoring)
SOME, LARGE = 0.1, 0.25
#: standard deviations above its mean under no drift that an index must exceed (99th percentile)
CHANCE = 2.33
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Reference:
    """The contract of a version, and the baseline that was computed when it was published."""

    contract: Contract
    baseline: Mapping[str, Any]

    def bins(self) -> list[_Bins]:
        """The bins of every feature in the training data."""
        known = self.baseline.get("features", {})
        pairs = ((feature, known.get(feature.name)) for feature in self.contract.features)
        found = (_bins(feature, entry) for feature, entry in pairs if entry)
        return [bins for bins in found if bins is not None]


@dataclass(frozen=True, slots=True)
class _Bins:
    """The bins of one feature: ranges of numbers, ranges of text lengths, or categories."""

    feature: Feature
    kind: str
    edges: NDArray[np.float64]
    names: tuple[str, ...]
    expected: NDArray[np.float64]

    def count(self, values: Array) -> NDArray[np.int64]:
        """The number of values in each bin; the outer bins are open.

        A feature whose missing values are NaN has a last bin for them.
        """
        if not self.feature.missing:
            return self._present(values)
        gone = np.isnan(values)
        return np.append(self._present(values[~gone]), np.count_nonzero(gone))

    def _present(self, values: Array) -> NDArray[np.int64]:
        if self.kind == "category":
            return self._by_name(values)
        if self.kind == "text":
            values = np.fromiter(map(len, values.reshape(-1)), np.float64)
        # after one sort, each bin needs one look-up: ten times as fast as a look-up per value
        numbers = np.sort(values.reshape(-1).astype(_wide(values.dtype), copy=False))
        edges = self.edges.astype(numbers.dtype)
        if len(edges) == 1:  # a single value: the bins are below it, equal to it, above it
            cuts = [np.searchsorted(numbers, edges[0], side) for side in ("left", "right")]
        else:
            cuts = np.searchsorted(numbers, edges[1:-1], "left").tolist()
        return np.diff(np.array([0, *cuts, len(numbers)]))

    def _by_name(self, values: Array) -> NDArray[np.int64]:
        places = {name: place for place, name in enumerate(self.names)}
        counts = np.zeros(len(self.names), dtype=np.int64)
        for value, number in Counter(values.reshape(-1).tolist()).items():
            counts[places.get(category(value), len(counts) - 1)] += number
        return counts

    def labels(self) -> list[str]:
        """The labels of the bins."""
        return [*self._labels(), "missing"] if self.feature.missing else self._labels()

    def _labels(self) -> list[str]:
        if self.kind == "category":
            return list(self.names)
        edges = [f"{edge:.4g}" for edge in self.edges.tolist()]
        if len(edges) == 1:
            return [f"below {edges[0]}", edges[0], f"above {edges[0]}"]
        inner = [f"{low} to {high}" for low, high in pairwise(edges[1:-1])]
        ends = [f"below {edges[1]}", *inner, f"from {edges[-2]}"]
        return ends if len(edges) > 2 else ["any"]


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to compare values with edges; floats keep theirs, so that 0.7 is on its edge."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def category(value: Any) -> str:
    """A category as a JSON key; a whole number has the same key in every type."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _bins(feature: Feature, entry: Mapping[str, Any]) -> _Bins | None:
    kind = entry["kind"]
    if kind == "category":
        names = (*entry["counts"], OTHERS)
        counts = [*entry["counts"].values(), entry["others"]]
        edges = np.empty(0)
    else:
        edges, names, counts = np.array(entry["edges"], dtype=np.float64), (), entry["counts"]
        counts = [0, *counts, 0] if len(edges) == 1 else counts
    expected = np.array(counts, dtype=np.float64)
    if not expected.sum():
        return None
    missing = entry["missing"]
    if feature.missing:
        gone = expected.sum() * missing / (1 - missing)
        return _Bins(feature, kind, edges, tuple(names), np.append(expected, gone))
    bins = _Bins(feature, kind, edges, tuple(names), expected)
    if feature.default is not None and 0 < missing < 1:
        # the model receives the default for a missing value, so it is counted as the default
        filled = np.full(1, feature.default, dtype=numpy_dtype(feature.dtype))
        share = bins.count(filled) * expected.sum() * missing / (1 - missing)
        return _Bins(feature, kind, edges, tuple(names), expected + share)
    return bins


class Sample:
    """A unit's counts: the features of a sample of its rows, as the model received them."""

    def __init__(self, reference: Reference, rows: int) -> None:
        self._bins = reference.bins()
        self._step = max(1, rows // ROWS)
        self._values: dict[str, list[Array]] = {bins.feature.name: [] for bins in self._bins}
        self._free = {bins.feature.name: bins.feature.free for bins in self._bins}
        self._rows = 0

    def add(self, columns: Mapping[str, Array], index: NDArray[np.int64]) -> None:
        """Add every n-th of the rows `index` of some columns."""
        chosen = index[:: self._step]
        self._rows += len(chosen)
        for name, held in self._values.items():
            column = columns[name]
            if self._free[name]:
                held.append(_some_values(column[chosen]))
                continue
            width = math.prod(column.shape[1:])  # all numbers of a vector count for one feature
            held.append(column[chosen[:: max(1, width)]])

    def document(self) -> dict[str, Any]:
        """The counts as JSON: the sampled rows, and a list of counts for each feature."""
        return {
            "rows": self._rows,
            "features": {
                bins.feature.name: bins.count(np.concatenate(held)).tolist()
                for bins in self._bins
                if (held := self._values[bins.feature.name])
            },
        }


def _some_values(rows: Array) -> Array:
    """The values of some rows of a feature with free axes, about as many as there are rows."""
    width = sum(row.size for row in rows.tolist()) // max(1, len(rows))
    return values_of(rows[:: max(1, width)])[0]


def drift_of(
    reference: Reference, units: Iterable[tuple[int, Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """Compute the drift of a run, largest first; None without a baseline.

    `units` are the number of rows that each unit scored, and its counts.
    """
    counted = [(rows, found) for rows, found in units if found["rows"]]
    looked = sum(found["rows"] for _, found in counted)
    known = reference.bins()
    if not looked or not known:
        return None
    features = [_feature(bins, counted) for bins in known]
    features.sort(key=lambda feature: (-feature["index"], feature["feature"]))
    levels = Counter(feature["level"] for feature in features)
    return {
        "rows": looked,
        "baseline_rows": reference.baseline["rows"],
        "large": levels["large"],
        "some": levels["some"],
        "features": features,
    }


def _feature(bins: _Bins, units: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    name = bins.feature.name
    total = np.zeros(len(bins.expected))
    looked = 0
    for rows, found in units:
        counts = np.array(found["features"][name], dtype=np.float64)
        looked += int(counts.sum())
        total += counts * (rows / found["rows"])  # weight each unit by its scored rows
    expected, actual = _shares(bins.expected, bins.expected.sum()), _shares(total, looked)
    index = float(np.sum((actual - expected) * np.log(actual / expected)))
    degrees = max(1, len(expected) - 1)
    chance = (degrees + CHANCE * math.sqrt(2 * degrees)) * (1 / looked + 1 / bins.expected.sum())
    level = "none" if index < max(SOME, chance) else "some" if index < LARGE else "large"
    sensitive = bins.feature.sensitive and bins.kind == "category"
    return {
        "feature": name,
        "kind": bins.kind,
        "index": round(index, 4),
        "chance": round(float(chance), 4),
        "level": level,
        "bins": [f"value {n}" for n in range(len(expected))] if sensitive else bins.labels(),
        "expected": np.round(expected, 5).tolist(),
        "actual": np.round(actual, 5).tolist(),
    }


def _shares(counts: NDArray[np.float64], rows: float) -> NDArray[np.float64]:
    """Shares, none of them zero: each bin gets half a row more (Jeffreys)."""
    shares = counts / counts.sum() if counts.sum() else counts
    found: NDArray[np.float64] = (shares * rows + 0.5) / (rows + 0.5 * len(counts))
    return found
