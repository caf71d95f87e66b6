"""Refuse the rows with a value that the contract does not allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quintet.columns import Array, Batch, numpy_dtype, shown
from quintet.contract import Feature, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "blamed",
    "bounds",
    "expected_range",
    "refuse_categories",
    "refuse_outputs",
    "refuse_values",
]


def bounds(features: Sequence[Feature]) -> tuple[Array | None, Array | None]:
    """The lowest and highest allowed value of each feature, (features,), always finite."""
    dtype = numpy_dtype(features[0].dtype)
    if dtype.kind in "bO":
        return None, None
    info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    low, high = [], []
    for feature in features:
        least, most = feature.range or (None, None)
        low.append(info.min if least is None else max(least, float(info.min)))
        high.append(info.max if most is None else min(most, float(info.max)))
    # bounds of integers stay wide: 64-bit limits do not fit the integer's own dtype as floats
    kept = dtype if dtype.kind == "f" else None
    return np.array(low, dtype=kept), np.array(high, dtype=kept)


def refuse_values(
    batch: Batch,
    features: tuple[Feature, ...],
    values: Array,
    bad: NDArray[np.bool_],
    by_rule: NDArray[np.bool_] | None,
) -> None:
    """Refuse the rows with a value out of its feature's range, or not finite."""
    vector = len(features) == 1
    for position, feature in enumerate(features):
        marks = bad if vector else bad[:, position : position + 1]
        rows = blamed(batch, feature, np.asarray(marks.any(axis=1)), by_rule)
        for row in rows:
            offset = int(np.argmax(marks[row])) if vector else position
            value = values[row, offset]
            place = f"{feature.key}[{offset}]" if feature.shape else feature.key
            batch.refuse(row, place, expected_range(feature), shown(value, feature))


def blamed(
    batch: Batch,
    feature: Feature,
    bad: NDArray[np.bool_],
    by_rule: NDArray[np.bool_] | None,
) -> list[int]:
    """The rows to refuse: filler values of refused rows and of fallback rows are not errors."""
    if feature.source != "request":
        bad = bad & batch.good if by_rule is None else bad & batch.good & ~by_rule
    refused = {r.row for r in batch.refusals if r.field == feature.key}
    return [row for row in np.flatnonzero(bad).tolist() if row not in refused]


def expected_range(feature: Feature) -> str:
    least, most = feature.range or (None, None)
    if least is not None and most is not None:
        return f"a number from {least:g} to {most:g}"
    if least is not None:
        return f"a number of at least {least:g}"
    if most is not None:
        return f"a number of at most {most:g}"
    return f"a finite number ({feature.dtype})"


def refuse_categories(
    batch: Batch, feature: Feature, values: list[Any], by_rule: NDArray[np.bool_] | None
) -> None:
    """Refuse the rows with a value outside its feature's categories."""
    assert feature.categories is not None
    allowed = set(feature.categories)
    if feature.missing:
        allowed.update(value for value in values if math.isnan(value))
    bad = np.fromiter((value not in allowed for value in values), np.bool_, len(values))
    expected = f"one of {', '.join(map(str, feature.categories[:10]))}"
    if len(feature.categories) > 10:
        expected += f" and {len(feature.categories) - 10} more"
    for row in blamed(batch, feature, bad, by_rule):
        batch.refuse(row, feature.key, expected, shown(values[row], feature))


def refuse_outputs(batch: Batch, output: Output, index: NDArray[np.int64], values: Array) -> None:
    """Refuse the rows with a value that is not finite."""
    flat = values.reshape(len(index), -1)
    fine = np.isfinite(flat)
    for row in np.flatnonzero(~fine.all(axis=1)).tolist():
        value = flat[row, int(np.argmin(fine[row]))]
        batch.refuse(int(index[row]), output.name, "a finite output", shown(value))
