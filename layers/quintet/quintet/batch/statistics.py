"""What a report shows of a run's rows. What cannot be counted is a note; it fails no row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quintet.batch.report_notes import noting
from quintet.contract import Contract
from quintet.monitoring.drift import Reference, Sample
from quintet.monitoring.histograms import Histogram, watched
from quintet.serving import Prediction

__all__ = ["Statistics"]


class Statistics:
    """The histogram of a unit's scores, and the sample of its rows that drift is computed from."""

    def __init__(
        self, contract: Contract, baseline: Callable[[], Mapping[str, Any]], rows: int
    ) -> None:
        self.notes: list[str] = []
        self._output = watched(contract)
        self._histogram = Histogram(self._output) if self._output else None
        self._sample: Sample | None = None
        with noting(self.notes, "Drift"):
            self._sample = Sample(Reference(contract, baseline()), rows)

    def add(self, prediction: Prediction) -> None:
        """Count the rows of a prediction."""
        scores = prediction.scores
        histogram, self._histogram = self._histogram, None
        if histogram and self._output:
            with noting(self.notes, "The histogram of the scores"):
                histogram.add(scores.outputs[self._output.name])
                self._histogram = histogram
        sample, self._sample = self._sample, None
        if sample:
            with noting(self.notes, "Drift"):
                sample.add(prediction.batch.columns, scores.index[~scores.fallback])
                self._sample = sample

    def documents(self) -> dict[str, Any]:
        """What a unit's result holds of them."""
        found: dict[str, Any] = {"histogram": None, "sample": None, "notes": self.notes}
        with noting(self.notes, "The histogram of the scores"):
            found["histogram"] = self._histogram.document() if self._histogram else None
        with noting(self.notes, "Drift"):
            found["sample"] = self._sample.document() if self._sample else None
        return found
