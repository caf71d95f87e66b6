"""The bins of features, outputs and labels in a model's baseline, and counts of values in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, numpy_dtype
from quintet.contract import Feature

__all__ = ["OTHERS", "Bins", "Part", "bins_of", "category"]

OTHERS = "others"
#: what a column is of
Part = Literal["feature", "output", "label"]


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of one column: ranges of numbers, ranges of text lengths, or categories.

    `expected` are the counts of the training data, by rows that are independent of each other;
    `outside` counts those of them that became a default outside the range of the others. A column
    whose missing values are NaN has a last bin for them. `part` says what the column is of; that of
    an output, or of the labels, is described as a feature, too. `classes` are the names of values.
    """

    feature: Feature
    kind: str
    edges: NDArray[np.float64]
    names: tuple[str, ...]
    expected: NDArray[np.float64]
    outside: float = 0.0
    part: Part = "feature"
    classes: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name in reports: of a feature `amount`, of an output `output score`, or `labels`."""
        if self.part == "label":
            return "labels"
        return self.feature.name if self.part == "feature" else f"output {self.feature.name}"

    def count(self, values: Array) -> dict[str, Any]:
        """Count values, as JSON.

        `counts` in each bin, of which the outer ones are open; `outside`, the numbers below or
        above all of the training data; `span`, the least and the largest number.
        """
        if not self.feature.missing:
            return self._present(values)
        gone = np.isnan(values)
        found = self._present(values[~gone])
        return {**found, "counts": [*found["counts"], int(np.count_nonzero(gone))]}

    def _present(self, values: Array) -> dict[str, Any]:
        if self.kind == "category":
            return {"counts": self._by_name(values), "outside": 0, "span": None}
        if self.kind == "text":
            values = np.fromiter(map(len, values.reshape(-1)), np.float64)
        # after one sort, each bin needs one look-up: ten times as fast as a look-up per value
        numbers = np.sort(values.reshape(-1).astype(_wide(values.dtype), copy=False))
        edges = self.edges.astype(numbers.dtype)
        low = int(np.searchsorted(numbers, edges[0], "left"))
        high = int(np.searchsorted(numbers, edges[-1], "right"))
        if len(edges) == 1:  # a single value: the bins are below it, equal to it, above it
            cuts = [low, high]
        else:
            cuts = np.searchsorted(numbers, edges[1:-1], "left").tolist()
        return {
            "counts": np.diff(np.array([0, *cuts, len(numbers)])).tolist(),
            "outside": low + len(numbers) - high,
            "span": [float(numbers[0]), float(numbers[-1])] if len(numbers) else None,
        }

    def _by_name(self, values: Array) -> list[int]:
        places = {name: place for place, name in enumerate(self.names)}
        counts = [0] * len(self.names)
        for value, number in Counter(values.reshape(-1).tolist()).items():
            counts[places.get(category(value), len(counts) - 1)] += number
        return counts

    def labels(self) -> list[str]:
        """The labels of the bins; the values of a sensitive feature are not named."""
        names = self._labels()
        if self.feature.sensitive and self.kind == "category":
            names = [f"value {number}" for number in range(len(names))]
        return [*names, "missing"] if self.feature.missing else names

    def _labels(self) -> list[str]:
        if self.kind == "category":
            return [self.classes.get(name, name) for name in self.names]
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


def bins_of(
    features: Iterable[Feature], known: Mapping[str, Any], rows: int, part: Part = "feature"
) -> list[Bins]:
    """The bins of the columns that the training data, of so many `rows`, have values of.

    `known` are their entries in the baseline, by name.
    """
    pairs = ((feature, known.get(feature.name)) for feature in features)
    found = (_bins(feature, entry, rows, part) for feature, entry in pairs if entry)
    return [bins for bins in found if bins is not None]


def _bins(feature: Feature, entry: Mapping[str, Any], rows: int, part: Part) -> Bins | None:
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
    missing, outside = entry["missing"], 0.0
    gone = expected.sum() * missing / (1 - missing)
    if feature.missing:
        expected = np.append(expected, gone)
    elif feature.default is not None and 0 < missing < 1:
        # the model receives the default for a missing value, so it is counted as the default
        filled = np.full(1, feature.default, dtype=numpy_dtype(feature.dtype))
        bins = Bins(feature, kind, edges, tuple(names), expected)
        one = bins.count(filled)
        expected = expected + np.array(one["counts"]) * gone
        outside = one["outside"] * gone
    # the numbers of one row's vector depend on each other: together they are one row
    scale = min(1.0, rows / expected.sum()) if feature.shape else 1.0
    return Bins(feature, kind, edges, tuple(names), expected * scale, outside * scale, part)
