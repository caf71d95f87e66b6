"""What a feature's values say of it: range, categories, missing values, personal data. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from quintet.columns import numpy_dtype
from quintet_publish.init.fed import Fed
from quintet_publish.init.guess import Guess
from quintet_publish.init.names import sensitive
from quintet_publish.init.table import cells

__all__ = ["feature_guesses"]

CATEGORIES = 50
#: rows that a category must have on average: with fewer, the column is free text
REPEATED = 2
#: the part of the span of the values that the range allows beyond each end
SLACK = 0.5
TEXT = 60


def feature_guesses(fed: Fed, takes_nan: bool) -> Iterator[Guess]:
    """The fields of a feature, each with its reason; `takes_nan`: the graph answers NaN."""
    path = ("features", fed.name)
    found = cells(fed.values)
    kind = numpy_dtype(fed.tensor.dtype).kind
    yield Guess.of(
        (*path, "dtype"), fed.tensor.dtype, f"that of the graph's input {fed.tensor.name}"
    )
    if fed.column:
        reason = "the sample's name of it, which callers use; names of features are plain"
        yield Guess.of((*path, "column"), fed.column, reason)
    if kind in "iuf":
        yield from _range(path, fed, found)
    if kind == "O" and fed.shape == ():
        different = sorted(set(found))
        if len(different) <= CATEGORIES and len(found) >= REPEATED * len(different):
            reason = f"{len(different)} different texts in {len(found):,} rows; others are refused"
            yield Guess.of((*path, "categories"), different, reason)
    if fed.shape == () and (gaps := len(fed.values) - len(found)):
        yield _missing(path, fed, found, gaps, takes_nan)
    elif kind == "f" and any(np.isnan(np.asarray(v, np.float64)).any() for v in found):
        yield Guess.of((*path, "missing"), "nan", "elements are missing in rows of the sample")
    if why := sensitive(fed.column or fed.name, found[:1000]):
        yield Guess.of((*path, "sensitive"), True, why)


def _range(path: tuple[str, ...], fed: Fed, found: list[Any]) -> Iterator[Guess]:
    """The values' ends, with slack: what is far outside is a mistake of the caller."""
    values = np.concatenate([np.ravel(np.asarray(value, np.float64)) for value in found])
    values = values[~np.isnan(values)]
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        return
    reason = f"the sample has {low:g} to {high:g}"
    if {low, high} <= {0.0, 1.0}:
        yield Guess.of((*path, "range"), [0, 1], reason)
        return
    slack = max(SLACK * (high - low), 0.1 * max(abs(low), abs(high)))
    lowest = 0.0 if low >= 0 else _outward(low - slack, math.floor)
    highest = _outward(high + slack, math.ceil)
    dtype = fed.tensor.dtype
    limits = np.iinfo(dtype) if numpy_dtype(dtype).kind in "iu" else np.finfo(dtype)
    lowest, highest = max(lowest, float(limits.min)), min(highest, float(limits.max))
    pair = [_whole(lowest), _whole(highest)]
    yield Guess.of((*path, "range"), pair, f"{reason}, with slack of half the span")


def _outward(value: float, rounded: Any) -> float:
    """Two digits, away from the values."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{rounded(value / step) * step:.6g}")


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) and abs(value) < 2**63 else value


def _missing(
    path: tuple[str, ...], fed: Fed, found: list[Any], gaps: int, takes_nan: bool
) -> Guess:
    share = f"missing in {gaps:,} of {len(fed.values):,} rows"
    kind = numpy_dtype(fed.tensor.dtype).kind
    if kind == "f" and takes_nan:
        return Guess.of((*path, "missing"), "nan", f"{share}, and the graph takes NaN")
    if kind == "f":
        reason = f"{share}, and the graph gives NaN for NaN: the sample's median"
        return Guess.of((*path, "default"), float(median(found)), reason)
    most = Counter(found).most_common(1)[0][0]
    return Guess.of((*path, "default"), most, f"{share}: the sample's most frequent value")
