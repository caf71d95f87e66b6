"""The log lines and metrics of what reads and writes captures: counts and ages, never values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quintet.captures.compaction import Compacted
from quintet.captures.delivery import Delivered

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

    from quintet.telemetry.powertools import MetricsWriter

__all__ = ["CapturesTelemetry"]

#: the damaged objects that a log line names
MOST_NAMED = 20


class CapturesTelemetry:
    """Writes a log line and the metrics of each invocation."""

    def __init__(self, logger: Logger, metrics: MetricsWriter) -> None:
        self._logger = logger
        self._metrics = metrics

    def delivered(self, found: Delivered) -> None:
        """A delivery was written; a warning if lines of it could not be read."""
        level = self._logger.warning if found.unreadable else self._logger.info
        level("captured", **dataclasses.asdict(found))
        self._write(captured_rows_count=found.rows, unreadable_captures_count=found.unreadable)

    def compacted(self, done: Compacted, merged: Mapping[str, int]) -> None:
        """A compaction ended, and so many objects of labels and feedback were `merged`; a warning
        if it left hours for the next one, or objects that it cannot read, which it names."""
        level = self._logger.warning if done.left or done.damaged else self._logger.info
        told: dict[str, Any] = {**done.counts(), **merged}
        if done.damaged:
            told["damaged_keys"] = done.damaged[:MOST_NAMED]
        level("compacted", **told)
        self._write(
            redelivered_captures_count=done.redelivered,
            compacted_rows_count=done.rows,
            duplicate_captures_count=done.duplicates,
            damaged_captures_count=len(done.damaged),
            expired_captures_count=done.expired,
        )

    def aged(self, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """The ages of models' stored features were measured; a warning for each that is aging."""
        aging = 0
        for model, ages in found.items():
            for one in ages:
                if one["aging"]:
                    aging += 1
                    names = ("feature", "max_age", "p95", "oldest", "rows")
                    self._logger.warning("ages", model=model, **{name: one[name] for name in names})
            used = [one["used"] for one in ages if one["used"] is not None]
            if used:
                self._metrics.write({"model": model}, {"feature_age_ratio": max(used)})
        self._metrics.write({}, {"aging_features_count": aging})

    def _write(self, **values: int) -> None:
        self._metrics.write({}, {name: value for name, value in values.items() if value})
