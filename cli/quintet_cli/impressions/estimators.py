"""The value of a ranking on impressions that another one showed. Pure.

The item-position model: an item's reward depends on the item, its position and the request, not on
the other items shown. The value is the expected reward of an answer, the sum over its positions.
Shuai Li et al., "Offline Evaluation of Ranking Policies with Click Models", KDD 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENOUGH", "METHODS", "Interval", "Weighted", "interval", "values"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_Z = NormalDist().inv_cdf(0.975)
#: an effective sample below which intervals are too narrow: at 340 they held the truth in 87 of 100
#: resamples of real impressions, at 650 and more in 95 or more (the Open Bandit sample)
ENOUGH = 500


@dataclass(frozen=True, slots=True)
class Weighted:
    """Items that were shown, one row each; all arrays are (rows,).

    `answer` and `user` number the answer and its user from 0, `position` counts from 1. `weight` is
    the target's probability of the shown item at its position, divided by its propensity, and
    `support` the target's probability of items that could have been shown there. `fitted` is the
    reward model's value of the shown item, `expected` that of what the target shows there.
    """

    answer: Ints
    user: Ints
    position: Ints
    reward: Floats
    weight: Floats
    support: Floats
    fitted: Floats
    expected: Floats

    def some(self, rows: Ints) -> Weighted:
        """Some of the rows."""
        return Weighted(*(getattr(self, field.name)[rows] for field in fields(self)))


class Interval(NamedTuple):
    """An estimate with its 95 % interval: None if the users do not differ, as without rewards."""

    value: float
    low: float | None
    high: float | None

    def document(self) -> dict[str, float | None]:
        """It as JSON."""
        return self._asdict()


def interval(value: float, influence: Floats, user: Ints) -> Interval:
    """The 95 % interval of an estimate from each row's influence on it, (rows,), whose rows of one
    user depend on each other.

    Rewards are rare and weights large, so that the sum is skewed; the interval is that of Hall's
    transformation, which corrects for it (P. Hall, "On the removal of skewness by transformation",
    Journal of the Royal Statistical Society B 54, 1992).
    """
    sums = np.bincount(user, influence)
    users = len(sums)
    if users < 2:
        return Interval(value, None, None)
    centred = sums - sums.mean()
    squares = centred * centred
    spread = float(np.sqrt(np.mean(squares)))
    if spread <= 1e-12 * max(abs(value), 1.0) / users:
        return Interval(value, None, None)
    error = spread * users / np.sqrt(users - 1)
    skewness = float(np.mean(squares * centred)) / spread**3
    root = np.sqrt(users)
    low, high = (value - error * _untransformed(z, skewness, root) for z in (_Z, -_Z))
    return Interval(value, float(low), float(high))


def _untransformed(z: float, skewness: float, root: float) -> float:
    """The value of the studentised mean that Hall's transformation takes to `z`."""
    slope = skewness / (3 * root)
    if abs(slope) < 1e-9:
        return z
    return float(np.cbrt(1 + 3 * slope * (z - skewness / (6 * root))) - 1) / slope


class _Method(NamedTuple):
    """The value at one position, and each row's influence on it."""

    value: float
    influence: Floats

    def plus(self, other: _Method, share: float, rows: Ints) -> _Method:
        """The sum with the value at a position that a share of the answers has, at `rows`."""
        influence = self.influence.copy()
        influence[rows] = share * other.influence
        return _Method(self.value + share * other.value, influence)


#: of the target, and of what it is compared with
_Pair = tuple[_Method, _Method]


def _logged(shown: Weighted) -> _Method:
    """The mean reward of what was shown."""
    return _mean(shown.reward)


def _ips(shown: Weighted) -> _Method:
    """Inverse propensity scores."""
    return _mean(shown.weight * shown.reward)


def _snips(shown: Weighted) -> _Method:
    """Self-normalised inverse propensity scores; NaN if the target agrees with nothing shown."""
    total = float(shown.weight.sum())
    if total == 0:
        return _Method(float("nan"), np.full(len(shown.reward), np.nan))
    value = float(shown.weight @ shown.reward) / total
    return _Method(value, shown.weight * (shown.reward - value) / total)


def _dr(shown: Weighted) -> _Method:
    """Doubly robust: the reward model, corrected by the propensities."""
    return _mean(shown.expected + shown.weight * (shown.reward - shown.fitted))


def _mean(terms: Floats) -> _Method:
    value = float(terms.mean())
    return _Method(value, (terms - value) / len(terms))


_METHODS: dict[str, Callable[[Weighted], _Method]] = {
    "logged": _logged,
    "ips": _ips,
    "snips": _snips,
    "dr": _dr,
}
#: what was shown, then the estimates of the target
METHODS = tuple(_METHODS)


def values(target: Weighted, against: Weighted | None = None) -> dict[str, Any]:
    """The value of what was shown (`logged`), and of a target by each method: of an answer, and
    `by_position`. Each has its `difference` from the same method's value of another target,
    `against`, which has the same rows; by default from what was shown.

    `support` is the share of the target that could have been shown, `mean_weight` has this
    expectation if the propensities are right, and `effective` is the effective sample size of the
    weights (L. Kish, "Survey Sampling", 1965), in rows. What is not defined is None.
    """
    if against is None:
        against = replace(target, weight=np.ones(len(target.user)), expected=target.fitted)
    same = all(
        np.array_equal(getattr(target, name), getattr(against, name))
        for name in ("weight", "expected")
    )
    answers = len(np.unique(target.answer))
    nothing = _Method(0.0, np.zeros(len(target.user)))
    whole = dict.fromkeys(METHODS, (nothing, nothing))
    by_position = []
    for position in np.unique(target.position).tolist():
        rows = np.flatnonzero(target.position == position)
        parts = target.some(rows), against.some(rows)
        found = {name: (method(parts[0]), method(parts[1])) for name, method in _METHODS.items()}
        share = len(rows) / answers
        for name, pair in found.items():
            first, second = whole[name]
            whole[name] = first.plus(pair[0], share, rows), second.plus(pair[1], share, rows)
        row = {"position": position, "rows": len(rows)}
        by_position.append({**row, **_weights(parts[0]), **_document(found, parts[0].user, same)})
    return {**_weights(target), **_document(whole, target.user, same), "by_position": by_position}


def _weights(shown: Weighted) -> dict[str, Any]:
    squares = float((shown.weight**2).sum())
    return {
        "support": float(shown.support.mean()),
        "mean_weight": interval(*_mean(shown.weight), shown.user).document(),
        "effective": float(shown.weight.sum()) ** 2 / squares if squares else 0.0,
    }


def _document(found: dict[str, _Pair], user: Ints, same: bool) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, (one, other) in found.items():
        written[name] = None
        if np.isfinite(one.value):
            written[name] = interval(*one, user).document()
            if name != "logged":
                gap = _Method(one.value - other.value, one.influence - other.influence)
                shown = Interval(0.0, 0.0, 0.0) if same else interval(*gap, user)
                known = np.isfinite(gap.value)
                written[name]["difference"] = shown.document() if known else None
    return written
