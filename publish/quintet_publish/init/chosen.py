"""Which rows of a sample become golden rows, and the columns of golden.json. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from quintet_publish.init.fed import Fed

__all__ = ["extremes_first", "plain"]


def extremes_first(feds: Sequence[Fed], rows: int, most: int) -> list[int]:
    """The positions of at most so many rows: those with extremes first, then evenly spread ones.

    Extremes are the lowest and highest numbers, gaps, each text and the longest, by column.
    """
    found: Counter[int] = Counter()
    for fed in feds:
        if fed.shape == ():
            for row in _extremes(fed.values):
                found[row] += 1
    order = [row for row, _ in found.most_common(most)]
    spread = np.linspace(0, rows - 1, min(rows, most)).astype(int).tolist()
    return [*dict.fromkeys([*order, *spread, *range(min(rows, 2 * most))])][: min(rows, most)]


def _extremes(values: Sequence[Any]) -> list[int]:
    present = [row for row, value in enumerate(values) if value is not None]
    gaps = [row for row, value in enumerate(values) if value is None]
    found = gaps[:1]
    if present and isinstance(values[present[0]], str):
        first: dict[str, int] = {}
        for row in present:
            first.setdefault(values[row], row)
        found += [*[*first.values()][:50], max(present, key=lambda row: len(values[row]))]
    elif present:
        found += [min(present, key=values.__getitem__), max(present, key=values.__getitem__)]
    return found


def plain(value: Any) -> Any:
    """A value of numpy as JSON has it: null for NaN and infinity, floats in short."""
    array = np.asarray(value)
    if array.dtype == object and array.ndim == 0 and isinstance(array[()], np.ndarray):
        array = array[()]
    if array.dtype.kind != "f":
        return array.tolist()
    wide = array.astype(np.float64)
    if array.dtype == np.float32:  # the shortest text that reads back as the same number
        wide = np.array([float(str(v)) for v in array.ravel()], np.float64).reshape(array.shape)
    if np.isfinite(wide).all():
        return wide.tolist()
    found = wide.astype(object)
    found[~np.isfinite(wide)] = None
    return found.tolist()
