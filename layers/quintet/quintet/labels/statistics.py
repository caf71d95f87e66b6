"""Statistics of predictions against labels: as scikit-learn's, without it. Pure.

`truth` is (rows,): 0 or 1, the number of a class, or a number. A statistic that is not defined is
None.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "auc",
    "brier",
    "calibration",
    "expected_auc",
    "log_loss",
    "mean_auc",
    "number_errors",
]

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]

#: the bins of equal width of `calibration`
BINS = 10
_EPS = float(np.finfo(np.float64).eps)


def auc(truth: Classes, scores: Floats) -> float | None:
    """The area under the ROC curve; None if all rows are of one class."""
    positive = truth.astype(np.float64)
    return _weighted_auc(scores, positive, 1 - positive)


def expected_auc(scores: Floats, probabilities: Floats) -> float | None:
    """The expected AUC of scores whose rows are positive with these probabilities.

    It is the expected number of pairs in order over that of pairs, without those of a row with
    itself.
    """
    own = probabilities * (1 - probabilities)
    return _weighted_auc(scores, probabilities, 1 - probabilities, own)


def _weighted_auc(
    scores: Floats, positive: Floats, negative: Floats, own: Floats | None = None
) -> float | None:
    values, inverse = np.unique(scores, return_inverse=True)
    above = np.bincount(inverse, weights=positive, minlength=len(values))
    below = np.bincount(inverse, weights=negative, minlength=len(values))
    pairs = above.sum() * below.sum()
    # of ties half a pair is in order
    in_order = float(above @ (np.cumsum(below) - below / 2))
    if own is not None:
        pairs, in_order = pairs - own.sum(), in_order - own.sum() / 2
    return in_order / float(pairs) if pairs > 0 else None


def mean_auc(truth: Classes, probabilities: Floats) -> float | None:
    """The mean over classes of the AUC of each against the rest; None if one has no row."""
    found = [auc((truth == k).astype(np.int64), p) for k, p in enumerate(probabilities.T)]
    known = [one for one in found if one is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


def log_loss(truth: Classes, probabilities: Floats) -> float:
    """The mean negative logarithm of the true class's probability; (rows, classes)."""
    chosen = np.clip(probabilities[np.arange(len(truth)), truth], _EPS, 1 - _EPS)
    return float(-np.mean(np.log(chosen)))


def brier(truth: Classes, probability: Floats) -> float:
    """The mean squared difference of the probability of class 1 from what came."""
    return float(np.mean((probability - truth) ** 2))


def calibration(truth: Classes, probability: Floats) -> tuple[float, list[dict[str, float]]]:
    """The expected calibration error, and for each of the bins that have rows the number of rows,
    the mean probability and the share of 1.
    """
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probability)
    rows = np.bincount(bins, minlength=BINS)
    predicted = np.bincount(bins, weights=probability, minlength=BINS)
    observed = np.bincount(bins, weights=truth, minlength=BINS)
    error = float(np.abs(predicted - observed).sum() / len(truth))
    table = [
        {"rows": int(n), "predicted": float(p / n), "observed": float(o / n)}
        for n, p, o in zip(rows, predicted, observed, strict=True)
        if n
    ]
    return error, table


def number_errors(truth: Floats, predicted: Floats) -> dict[str, float | None]:
    """The root mean squared and the mean absolute error, and the mean error (predicted - true)."""
    off = predicted - truth
    return {
        "rmse": float(np.sqrt(np.mean(off**2))),
        "mae": float(np.mean(np.abs(off))),
        "bias": float(np.mean(off)),
    }
