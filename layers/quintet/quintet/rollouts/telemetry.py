"""The log lines and metrics of rollouts: counts, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.rollouts.comparer import Compared

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

    from quintet.telemetry.powertools import MetricsWriter

__all__ = ["ComparisonTelemetry"]


class ComparisonTelemetry:
    """Writes a log line and the metrics of each invocation of `compare`."""

    def __init__(self, logger: Logger, metrics: MetricsWriter) -> None:
        self._logger = logger
        self._metrics = metrics

    def compared(self, done: Compared) -> None:
        """Objects were compared; a warning for each that is to be tried again."""
        for key, reason in done.failed.items():
            self._logger.warning("to be tried again", key=key, reason=reason)
        if done.unopened:
            hint = "rows of a key that is disabled, deleted or not permitted are not compared"
            self._logger.warning("sealed features not opened", rows=done.unopened, hint=hint)
        counts: dict[str, Any] = {
            "compared_rows_count": done.rows,
            "paired_rows_count": done.pairs,
            "shadow_captures_count": done.shadow,
            "dropped_comparisons_count": done.dropped,
            "failed_comparisons_count": len(done.failed),
        }
        self._logger.info("compared", **counts)
        self._metrics.write({}, {name: count for name, count in counts.items() if count})

    def buried(self, message: str, receives: int) -> None:
        """A message was put among the dead letters."""
        self._logger.warning("dead letter", message_id=message, receives=receives)

    def left(self, message: str, reason: str) -> None:
        """A dead letter could not be put among the others; its message comes again."""
        self._logger.warning("to be tried again", message_id=message, reason=reason)
