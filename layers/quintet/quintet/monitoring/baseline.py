"""The baseline of a model, which drift is measured against. Pure functions.

It has the distribution of each feature in the training data, of each output for some of its rows,
and of the true values (labels).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, is_missing, numpy_dtype
from quintet.contract import Contract, Feature
from quintet.monitoring.bins import category
from quintet.monitoring.outputs import output_columns, output_values

__all__ = ["LABEL", "Columns", "baseline_of", "first_rows", "outputs_of", "with_outputs"]

#: the values of each column; a list if some are missing (None)
Columns = Mapping[str, NDArray[Any] | Sequence[Any]]

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
BINS = 20
CATEGORIES = 100  # the most common ones are counted one by one, the rest together
TEXT = 50  # a string column with more distinct values than this is text
#: the name of the column of labels
LABEL = "label"


def baseline_of(
    contract: Contract,
    columns: Columns,
    entities: Sequence[Any] | None = None,
    labels: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """For each feature: the share of missing values, and counts or a histogram with quantiles.

    The same of `labels`, the names of classes or numbers, None where a row has none. With the
    `entities` of the rows, the same of the first row of each is under `entities`.

    Raises:
        ValueError: a column does not have its feature's type; the text names the column.
    """
    found = _described(contract, columns, labels)
    if entities is None:
        return found
    rows = first_rows(entities)
    firsts = {
        name: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
        for name, values in columns.items()
    }
    told = None if labels is None else [labels[row] for row in rows]
    return {**found, "entities": _described(contract, firsts, told)}


def first_rows(entities: Sequence[Any]) -> list[int]:
    """The first row of each entity; a row without one is an entity of its own."""
    first: dict[Any, int] = {}
    for row, entity in enumerate(entities):
        first.setdefault(row if is_missing(entity) else str(entity), row)
    return list(first.values())


def _described(
    contract: Contract, columns: Columns, labels: Sequence[Any] | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rows": max((len(values) for values in columns.values()), default=0),
        "features": {
            feature.name: _column(feature, columns[feature.name])
            for feature in contract.features
            if feature.name in columns
        },
    }
    if labels is not None and (known := [one for one in labels if not is_missing(one)]):
        texts = isinstance(known[0], str)
        kind = Feature(
            name=LABEL, dtype="string" if texts else "float64", categories=() if texts else None
        )
        found["labels"] = {"rows": len(known), "columns": {LABEL: _column(kind, known)}}
    return found


def outputs_of(contract: Contract, outputs: Mapping[str, Array]) -> dict[str, Any]:
    """The distribution of each output, (rows, ...), for rows of the training data."""
    columns = output_values(contract, outputs)
    found = {
        feature.name: _column(feature, columns[feature.name], computed=True)
        for _, feature, _, _ in output_columns(contract)
        if feature.name in columns
    }
    return {"rows": len(next(iter(outputs.values()), ())), "columns": found}


def with_outputs(
    baseline: Mapping[str, Any], rows: Mapping[str, Any], entities: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A baseline with the distributions of outputs: of rows, and of one row of each entity."""
    found = {**baseline, "outputs": rows}
    if entities is not None and "entities" in baseline:
        found["entities"] = {**baseline["entities"], "outputs": entities}
    return found


def _column(
    feature: Feature, values: NDArray[Any] | Sequence[Any], computed: bool = False
) -> dict[str, Any]:
    kind = numpy_dtype(feature.dtype).kind
    if kind in "Ob" or feature.categories is not None:
        present = [value for value in _plain(values) if not is_missing(value)]
        found = _labels(feature, present)
    else:
        numbers = _numbers(feature, values)
        present = numbers[np.isfinite(numbers)].tolist()
        dtype = numpy_dtype(feature.dtype) if computed and kind == "f" else None
        found = _distribution(np.array(present), dtype)
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


def _apart(
    edges: NDArray[np.float64], deviation: float, dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """The edges of a computed number, moved outwards by more than it may differ from run to run.

    With an edge at 0.31, the value that a tree gives many rows, these would be in another bin when
    another processor or batch size gives 0.3099999.
    """
    share = max(1e-5, 4 * float(np.finfo(dtype).eps))
    room = share * np.abs(edges) + 1e-6 * deviation + 1e-12
    if len(edges) == 1:
        return np.array([edges[0] - room[0], edges[0] + room[0]])
    return np.append(edges[:-1] - room[:-1], edges[-1] + room[-1])


def _distribution(
    numbers: NDArray[np.float64], computed: np.dtype[Any] | None = None
) -> dict[str, Any]:
    """Quantiles, and counts in equal-frequency bins; with few distinct values, counts of each."""
    if not numbers.size:
        return {"mean": None, "deviation": None, "quantiles": {}, "edges": [], "counts": []}
    quantiles = np.quantile(numbers, QUANTILES)
    edges = np.unique(numbers)
    if len(edges) > BINS:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)))
    elif len(edges) > 1:
        edges = np.append(edges, edges[-1])  # the last bin is closed: it holds only the last value
    if computed is not None:
        edges = _apart(edges, float(numbers.std()), computed)
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
