"""Quality before labels come, estimated from calibrated probabilities.

If a probability of 0.8 comes true for 80 of 100 rows, then the expected accuracy, log loss and AUC
of rows follow from their probabilities alone. This is confidence-based performance estimation:
https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html
Of several classes, the probability of the predicted one is calibrated for the accuracy, and that of
each against the rest for log loss and AUC.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.labels.statistics import expected_auc
from quintet.labels.targets import Target

__all__ = ["MIN_ROWS", "Calibration", "Estimator", "no_estimate"]

Floats = NDArray[np.float64]

#: labelled rows below which probabilities are taken as they are
MIN_ROWS = 200
#: bins of equal width of the log-odds, so that small probabilities have as many as large ones
_BINS, _WIDEST = 2_000, 12.0
#: classes beyond which accuracy alone is estimated: each has a calibration of its own
MOST_CLASSES = 100
_EPS = float(np.finfo(np.float64).eps)


class Calibration:
    """How often probabilities came true, from labelled rows: an isotonic regression over bins."""

    def __init__(self) -> None:
        self._rows = np.zeros(_BINS)
        self._predicted = np.zeros(_BINS)
        self._true = np.zeros(_BINS)

    @property
    def rows(self) -> int:
        """The labelled rows that were added."""
        return int(self._rows.sum())

    @property
    def is_known(self) -> bool:
        """Whether there are rows enough."""
        return self.rows >= MIN_ROWS

    def add(self, probability: Floats, true: NDArray[np.bool_] | NDArray[np.int64]) -> None:
        """Add labelled rows: their probabilities, and whether they came true."""
        sure = np.clip(probability, 1e-9, 1 - 1e-9)
        odds = np.clip(np.log(sure / (1 - sure)) / _WIDEST, -1, 1)
        bins = np.minimum(((odds + 1) / 2 * _BINS).astype(np.int64), _BINS - 1)
        self._rows += np.bincount(bins, minlength=_BINS)
        self._predicted += np.bincount(bins, weights=probability, minlength=_BINS)
        self._true += np.bincount(bins, weights=true, minlength=_BINS)

    def apply(self, probability: Floats) -> Floats:
        """The calibrated probabilities, (rows,); as they are if there are too few rows."""
        if not self.is_known:
            return probability
        blocks: list[tuple[float, float, float]] = []  # rows, sum of probabilities, rows true
        held = np.flatnonzero(self._rows)
        for block in zip(
            self._rows[held].tolist(),
            self._predicted[held].tolist(),
            self._true[held].tolist(),
            strict=True,
        ):
            # pool adjacent violators: a share must not fall while probabilities rise
            one = block
            while blocks and blocks[-1][2] * one[0] >= one[2] * blocks[-1][0]:
                before = blocks.pop()
                one = (before[0] + one[0], before[1] + one[1], before[2] + one[2])
            blocks.append(one)
        rows, predicted, true = np.array(blocks).T
        found: Floats = np.interp(probability, predicted / rows, true / rows)
        return found


class Estimator:
    """Estimates of the quality of a version's rows, day by day.

    `probabilities` are (rows, classes), `decided` (rows,) the predicted class, -1 if unknown, and
    `truth` (rows,) the class that came true, NaN where no label has come.
    """

    def __init__(self, probabilities: Floats, decided: NDArray[np.int64], truth: Floats) -> None:
        self._told, self._decided, self._truth = probabilities, decided, truth
        classes = probabilities.shape[1]
        self._binary = classes == 2
        #: of two classes, the last is calibrated, and the first is what is left
        self._places = (
            [1] if self._binary else list(range(classes if classes <= MOST_CLASSES else 0))
        )
        self._classes = [Calibration() for _ in self._places]
        self._calibrated = probabilities.copy()
        self._decision = Calibration()
        self._right = self._of_decided(probabilities, np.arange(len(decided)))

    def _of_decided(self, probabilities: Floats, some: NDArray[np.int64]) -> Floats:
        """The probability of the predicted class of some rows; 0 of one that is unknown."""
        decided = self._decided[some]
        found: Floats = probabilities[some, np.maximum(decided, 0)]
        return np.where(decided < 0, 0.0, found)

    def calibrate(self, some: NDArray[np.int64]) -> int:
        """Calibrate the rows of a day by those of the days before; by how many."""
        by = self._decision.rows if self._decision.is_known else 0
        known = some[~np.isnan(self._truth[some])]
        truth = self._truth[known].astype(np.int64)
        for place, one in zip(self._places, self._classes, strict=True):
            self._calibrated[some, place] = one.apply(self._told[some, place])
            one.add(self._told[known, place], truth == place)
        if self._binary:
            self._calibrated[some, 0] = 1 - self._calibrated[some, 1]
            self._right[some] = self._of_decided(self._calibrated, some)
        else:
            self._right[some] = self._decision.apply(self._of_decided(self._told, some))
        self._decision.add(self._of_decided(self._told, known), truth == self._decided[known])
        return by

    def of(self, some: NDArray[np.int64]) -> dict[str, float | None]:
        """The expected quality of some rows."""
        found: dict[str, float | None] = {"accuracy": float(np.mean(self._right[some]))}
        if not self._places:
            return found
        told, sure = np.clip(self._told[some], _EPS, 1), self._calibrated[some]
        areas = [expected_auc(told[:, place], sure[:, place]) for place in self._places]
        known = [area for area in areas if area is not None]
        found["auc"] = float(np.mean(known)) if len(known) == len(areas) else None
        # calibrated apart, they need not be 1 together; where all are 0, none is known better
        sums = sure.sum(axis=1, keepdims=True)
        shares = np.divide(sure, sums, out=np.full_like(sure, 1 / sure.shape[1]), where=sums > 0)
        found["log_loss"] = float(-np.mean((shares * np.log(told)).sum(axis=1)))
        return found


def no_estimate(target: Target) -> str | None:
    """Why a model's quality cannot be estimated before labels come; None if it can."""
    if target.kind == "number":
        return "no estimate for numbers: a value does not say how far off it may be"
    if not target.probabilities:
        return "no estimate without `probabilities` among the outputs"
    return None
