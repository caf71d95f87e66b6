"""Quality of a model's versions by day: realised where labels have come, estimated for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.labels.estimates import Estimator, no_estimate
from quintet.labels.ids import Index, event_times
from quintet.labels.served import Served, label_positions
from quintet.labels.statistics import (
    auc,
    brier,
    calibration,
    log_loss,
    mean_auc,
    number_errors,
)
from quintet.labels.table import Settled, day_of
from quintet.labels.targets import Target

__all__ = ["Joined", "join", "report", "segments"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: values of a segment that are shown one by one; numbers with more are shown by quarters
MOST_VALUES = 20


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions of one version with their labels; all arrays are (rows,).

    `truth` is NaN where no label has come. Left out are rows that the fallback rule answered
    (`by_rule` of them), which say nothing about the model, and rows without a finite output.
    """

    target: Target
    rows: Served
    truth: Floats
    by_rule: int
    not_finite: int

    @property
    def labelled(self) -> Mask:
        """Which rows have a label."""
        return ~np.isnan(self.truth)


def join(
    versions: Mapping[int, tuple[Target, Served]], settled: Settled, since: float
) -> tuple[dict[int, Joined], dict[str, int]]:
    """Each version's predictions with their labels, and what became of the labels.

    `since` is where the predictions begin, in epoch seconds. The counts: `read`; `used` for at
    least one prediction; `twice`, `corrected` and `contradictory` (see `Settled`); `late` for
    predictions from before `since`, as far as ids tell; `not_a_label` of no class of the version;
    `unknown` are all others.
    """
    labels = settled.labels
    index = Index(labels.ids)
    used = np.zeros(len(labels.ids), dtype=np.bool_)
    misfit = used.copy()
    found = {}
    for number, (target, rows) in versions.items():
        at = label_positions(rows, index)
        values, is_label = target.truth(labels.values)
        truth = np.full(len(at), np.nan)
        has_label = np.flatnonzero(at >= 0)
        fits = is_label[at[has_label]]
        used[at[has_label[fits]]] = True
        misfit[at[has_label[~fits]]] = True
        truth[has_label[fits]] = values[at[has_label[fits]]]
        finite = np.ones(len(at), dtype=np.bool_)
        for name in target.columns:
            if rows.values[name].dtype.kind == "f":
                finite &= np.isfinite(rows.values[name])
        kept = finite & ~rows.fallback
        found[number] = Joined(
            target,
            rows.some(kept),
            truth[kept],
            by_rule=int(rows.fallback.sum()),
            not_finite=int(np.count_nonzero(~finite & ~rows.fallback)),
        )
    return found, _counts(settled, used, misfit, since)


def _counts(settled: Settled, used: Mask, misfit: Mask, since: float) -> dict[str, int]:
    misfit = misfit & ~used
    left = ~used & ~misfit
    late = int(np.count_nonzero(event_times(settled.labels.ids[left]) < since))
    return {
        "read": settled.rows,
        "used": int(used.sum()),
        "twice": settled.twice,
        "corrected": settled.corrected,
        "contradictory": settled.contradictory,
        "late": late,
        "not_a_label": int(misfit.sum()),
        "unknown": int(left.sum()) - late,
    }


def report(joined: Joined, by: str | None = None) -> dict[str, Any]:
    """The quality of a version: over all days, by day, and by the values of the column `by`.

    `realised` is from rows with labels; `estimated` from all rows, with probabilities calibrated on
    the labelled rows of earlier days (`calibrated_on` of them; of fewer than 200, they are taken as
    they are). `no_estimate` says why there is no estimate. A statistic that is not defined is None.
    """
    view = _View(joined)
    days = np.floor_divide(joined.rows.times, 86_400).astype(np.int64)
    by_day = []
    for day in np.unique(days).tolist():
        some = np.flatnonzero(days == day)
        calibrated_on = view.calibrate(some)
        one = {"day": day_of(day * 86_400), **view.both(some), "calibrated_on": calibrated_on}
        by_day.append(one)
    everything = np.arange(len(days))
    found: dict[str, Any] = {
        "kind": joined.target.kind,
        **view.both(everything),
        "no_estimate": no_estimate(joined.target),
        "by_rule": joined.by_rule,
        "not_finite": joined.not_finite,
        "calibration": view.calibration_table(),
        "days": by_day,
    }
    if by is not None:
        values = joined.rows.values[by]
        found["segments"] = [
            {"value": value, **view.both(some)} for value, some in segments(values)
        ]
    return found


class _View:
    """The outputs of a version's rows as numbers, and statistics of some of them."""

    def __init__(self, joined: Joined) -> None:
        target, values = joined.target, joined.rows.values
        self._truth, self._labelled = joined.truth, joined.labelled
        self._probabilities: Floats | None = None
        self._score: Floats | None = None
        self._decided: NDArray[np.int64] | None = None
        self._number = values[target.number] if target.number is not None else None
        if target.score is not None:
            self._score = values[target.score]
        if target.probabilities:
            columns = [values[name].astype(np.float64) for name in target.probabilities]
            if len(columns) == 1:
                columns.insert(0, 1 - columns[0])
            self._probabilities = np.column_stack(columns)
            self._decided = self._probabilities.argmax(axis=1)
            if len(columns) == 2:
                self._score = columns[1]
        if target.decision is not None:
            self._decided = target.decided(values[target.decision])
        self._binary = len(target.names) == 2
        self._estimator = None
        if self._probabilities is not None and self._decided is not None:
            self._estimator = Estimator(self._probabilities, self._decided, joined.truth)

    def calibrate(self, some: NDArray[np.int64]) -> int:
        """Calibrate the rows of a day by those of the days before; by how many."""
        return 0 if self._estimator is None else self._estimator.calibrate(some)

    def both(self, some: NDArray[np.int64]) -> dict[str, Any]:
        """How many rows there are, how many have a label, and both qualities."""
        known = some[self._labelled[some]]
        return {
            "rows": len(some),
            "labelled": len(known),
            "realised": self._realised(known) if len(known) else None,
            "estimated": self._estimator.of(some) if self._estimator and len(some) else None,
        }

    def _realised(self, some: NDArray[np.int64]) -> dict[str, float | None]:
        if self._number is not None:
            return number_errors(self._truth[some], self._number[some])
        truth = self._truth[some].astype(np.int64)
        found: dict[str, float | None] = {}
        if self._decided is not None:
            found["accuracy"] = float(np.mean(self._decided[some] == truth))
        if self._score is not None:
            found["auc"] = auc(truth, self._score[some])
        elif self._probabilities is not None:
            found["auc"] = mean_auc(truth, self._probabilities[some])
        if self._probabilities is not None:
            found["log_loss"] = log_loss(truth, self._probabilities[some])
            if self._binary:
                found["brier"] = brier(truth, self._probabilities[some, 1])
            found["calibration_error"] = self._calibration_of(some)[0]
        return found

    def _calibration_of(self, some: NDArray[np.int64]) -> tuple[float, list[dict[str, float]]]:
        assert self._probabilities is not None
        truth = self._truth[some].astype(np.int64)
        if self._binary:
            return calibration(truth, self._probabilities[some, 1])
        largest = self._probabilities[some].argmax(axis=1)
        right = (largest == truth).astype(np.int64)
        return calibration(right, self._probabilities[some, largest])

    def calibration_table(self) -> list[dict[str, float]] | None:
        """The bins of probabilities over all labelled rows."""
        known = np.flatnonzero(self._labelled)
        if self._probabilities is None or not len(known):
            return None
        return self._calibration_of(known)[1]


def segments(values: Array) -> list[tuple[Any, NDArray[np.int64]]]:
    """The rows of each value of a column; of numbers with many values, of each quarter."""
    is_text = values.dtype.kind == "S"
    unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not is_text and len(unique) > MOST_VALUES:
        edges = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
        inverse = np.searchsorted(edges[1:-1], values, side="right")
        names: list[Any] = [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
        inverse = np.where(np.isnan(values), len(names), inverse)
        names.append(None)
        shown = list(range(len(names)))
    else:
        names = [one.decode() or None if is_text else _or_none(one) for one in unique.tolist()]
        shown = sorted(np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist())
    parts = [(names[at], np.flatnonzero(inverse == at)) for at in shown]
    rest = np.flatnonzero(~np.isin(inverse, shown))
    if len(rest):
        parts.append(("others", rest))
    return [(name, some) for name, some in parts if len(some)]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
