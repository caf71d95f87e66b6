"""The baseline of a model: the distribution of its training data, for drift. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import is_missing, numpy_dtype
from quintet.contract import Contract, Feature
from quintet.monitoring.bins import category

__all__ = ["Columns", "baseline_of"]

#: the values of each column; a list if some are missing (None)
Columns = Mapping[str, NDArray[Any] | Sequence[Any]]

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
BINS = 20
CATEGORIES = 100  # the most common ones are counted one by one, the rest together
TEXT = 50  # a string column with more distinct values than this is text


def baseline_of(
    contract: Contract, columns: Columns, entities: Sequence[Any] | None = None
) -> dict[str, Any]:
    """For each feature: the share of missing values, and counts or a histogram with quantiles.

    With the `entities` of the rows, the same of the first row of each is under `entities`.

    Raises:
        ValueError: a column does not have its feature's type; the text names the column.
    """
    found = _described(contract, columns)
    if entities is None:
        return found
    first: dict[Any, int] = {}
    for row, entity in enumerate(entities):
        first.setdefault(row if is_missing(entity) else str(entity), row)
    rows = list(first.values())
    firsts = {
        name: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
        for name, values in columns.items()
    }
    return {**found, "entities": _described(contract, firsts)}


def _described(contract: Contract, columns: Columns) -> dict[str, Any]:
    rows = max((len(values) for values in columns.values()), default=0)
    return {
        "rows": rows,
        "features": {
            feature.name: _feature(feature, columns[feature.name])
            for feature in contract.features
            if feature.name in columns
        },
    }


def _feature(feature: Feature, values: NDArray[Any] | Sequence[Any]) -> dict[str, Any]:
    kind = numpy_dtype(feature.dtype).kind
    if kind in "Ob" or feature.categories is not None:
        present = [value for value in _plain(values) if not is_missing(value)]
        found = _labels(feature, present)
    else:
        numbers = _numbers(feature, values)
        present = numbers[np.isfinite(numbers)].tolist()
        found = _distribution(np.array(present))
        return {"missing": 1 - len(present) / max(1, numbers.size), "kind": "number", **found}
    return {"missing": 1 - len(present) / max(1, len(values)), **found}


def _plain(values: NDArray[Any] | Sequence[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _numbers(feature: Feature, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float64]:
    """All numbers of a column, with vectors flattened; missing values are NaN."""
    if feature.shape and not isinstance(values, np.ndarray):
        gap = [np.nan] * math.prod(feature.shape)
        values = [v for row in values for v in (gap if row is None else np.ravel(row))]
    try:
        return np.asarray(values, dtype=np.float64).reshape(-1)  # None becomes NaN
    except (TypeError, ValueError):
        raise ValueError(f"{feature.name}: expected {feature.dtype}, got other values") from None


def _distribution(numbers: NDArray[np.float64]) -> dict[str, Any]:
    """Quantiles, and counts in equal-frequency bins; with few distinct values, counts of each."""
    if not numbers.size:
        return {"mean": None, "deviation": None, "quantiles": {}, "edges": [], "counts": []}
    quantiles = np.quantile(numbers, QUANTILES)
    edges = np.unique(numbers)
    if len(edges) > BINS:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)))
    elif len(edges) > 1:
        edges = np.append(edges, edges[-1])  # the last bin is closed: it holds only the last value
    counts = np.histogram(numbers, edges)[0] if len(edges) > 1 else np.array([numbers.size])
    return {
        "mean": float(numbers.mean()),
        "deviation": float(numbers.std()),
        "quantiles": dict(zip(map(str, QUANTILES), quantiles.tolist(), strict=True)),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }


def _labels(feature: Feature, values: Sequence[Any]) -> dict[str, Any]:
    """Counts of categories, or the lengths of texts and of values that must not be shown."""
    counts = Counter(values)
    free = feature.dtype == "string" and feature.categories is None
    if free and (feature.sensitive or len(counts) > TEXT):
        lengths = np.array([len(value) for value in values], dtype=np.float64)
        return {"kind": "text", "different": len(counts), **_distribution(lengths)}
    common = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    shown = {category(value): count for value, count in common[:CATEGORIES]}
    others = sum(count for _, count in common[CATEGORIES:])
    return {"kind": "category", "counts": shown, "others": others}
