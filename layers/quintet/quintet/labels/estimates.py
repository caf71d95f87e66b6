"""Quality before labels come, estimated from calibrated probabilities.

If a probability of 0.8 comes true for 80 of 100 rows, then the expected accuracy, log loss and AUC
of rows follow from their probabilities alone. This is confidence-based performance estimation:
https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_ROWS", "Calibration"]

Floats = NDArray[np.float64]

#: labelled rows below which probabilities are taken as they are
MIN_ROWS = 200
#: bins of equal width of the log-odds, so that small probabilities have as many as large ones
_BINS, _WIDEST = 2_000, 12.0


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
