"""Tests of whether two samples have one distribution, from counts in the same bins. numpy only.

Counts may be fractions: shares times the number of independent rows that they stand for. All
p-values are asymptotic: from some hundred rows on, and never without an effect, they decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Counts",
    "chi_square",
    "chi_square_tail",
    "holm",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "kolmogorov_tail",
    "pooled",
    "smooth",
    "stability_index",
]

Counts = NDArray[np.float64]

#: the expected count below which the chi-square approximation does not hold (Cochran, 1954)
RARE = 5.0


def kolmogorov_smirnov(now: Counts, before: Counts) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov test: (D, p), for counts in ordered bins.

    D is the largest distance of the distribution functions at the borders of the bins, which is at
    most that of the values: p, from Kolmogorov's limit, is then on the safe side.
    """
    n, m = float(now.sum()), float(before.sum())
    distance = float(np.abs(np.cumsum(now) / n - np.cumsum(before) / m).max())
    return distance, kolmogorov_tail(math.sqrt(n * m / (n + m)) * distance)


def kolmogorov_tail(x: float) -> float:
    """The probability that the Kolmogorov distribution exceeds x."""
    if x <= 0:
        return 1.0
    if x < 1:  # where the other series converges slowly
        terms = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * x * x)) for k in range(1, 20))
        return 1 - math.sqrt(2 * math.pi) / x * sum(terms)
    return 2 * sum((1 if k % 2 else -1) * math.exp(-2 * k * k * x * x) for k in range(1, 20))


def chi_square(now: Counts, before: Counts) -> tuple[float, float]:
    """Pearson's test of a table of two rows: (total variation distance, p).

    The distance is half the sum of the differences in shares. Without a second column with counts
    there is no difference: (0, 1).
    """
    table = np.array([now, before])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0
    rows, total = table.sum(axis=1, keepdims=True), table.sum()
    expected = rows * table.sum(axis=0) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    first, second = table / rows
    return float(np.abs(first - second).sum() / 2), chi_square_tail(statistic, table.shape[1] - 1)


def chi_square_tail(x: float, degrees: int) -> float:
    """The probability that a chi-square variable of so many degrees of freedom exceeds x.

    For whole degrees, the incomplete gamma function is a finite sum.
    """
    if x <= 0:
        return 1.0
    half, odd = x / 2, degrees % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    powers = np.arange(degrees // 2) + odd / 2
    for power in powers.tolist():
        tail += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(1.0, tail)


def pooled(now: Counts, before: Counts) -> tuple[Counts, Counts]:
    """The same counts with the rare categories of both as one, for `chi_square`.

    Which are rare depends on the sum of both samples only, so that no test is chosen by its result.
    """
    total, least = now + before, min(now.sum(), before.sum())
    rare = total * least / max(total.sum(), 1.0) < RARE
    if rare.sum() < 2:
        return now, before
    return (
        np.append(now[~rare], now[rare].sum()),
        np.append(before[~rare], before[rare].sum()),
    )


def holm(values: Sequence[float]) -> list[float]:
    """The p-values of several tests adjusted by Holm's method, in their order.

    Rejecting those that are at most a gives a chance of at most a of any false rejection.
    """
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(np.argsort(values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def stability_index(now: Counts, before: Counts) -> float:
    """The population stability index: the sum of (p - q) ln(p / q); a size, and no test."""
    p, q = smooth(now), smooth(before)
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(now: Counts, before: Counts) -> float:
    """The Jensen-Shannon distance, from 0 (alike) to 1 (nothing in common); a size, and no test."""
    p, q = smooth(now), smooth(before)
    middle = (p + q) / 2
    divergence = np.sum(p * np.log2(p / middle) + q * np.log2(q / middle)) / 2
    return math.sqrt(max(0.0, float(divergence)))


def smooth(counts: Counts) -> Counts:
    """Shares, none of them zero: each bin gets half a row more (Jeffreys)."""
    found: Counts = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return found
