"""The log line and the metrics of an invocation of `score_stream`."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from quintet.streaming.scorer import ShardOutcome

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

    from quintet.telemetry.powertools import MetricsWriter

__all__ = ["StreamTelemetry"]


class StreamTelemetry:
    """Writes one log line for each invocation, and its metrics: its own, and each model's."""

    def __init__(self, logger: Logger, metrics: MetricsWriter) -> None:
        self._logger = logger
        self._metrics = metrics
        self._warned = False

    def settle(self, outcome: ShardOutcome) -> None:
        """Write the line and the metrics of an invocation."""
        self._log(outcome)
        windows = outcome.windows
        counts = {
            "records_count": outcome.records,
            "undecodable_records_count": outcome.undecodable,
            "repeated_records_count": outcome.skipped,
            "failed_batches_count": int(outcome.failed is not None),
            "alerts_count": outcome.alerts.raised,
            "suppressed_alerts_count": outcome.alerts.suppressed,
            "record_age_ms": outcome.oldest_seconds * 1000,
        }
        if windows is not None:
            counts |= {
                "late_rows_count": windows.counts.late,
                "out_of_order_rows_count": windows.counts.out_of_order,
                "window_parts_count": windows.parts,
                "window_spills_count": int(windows.spilled),
                "window_state_lost_count": int(windows.state_lost),
            }
        self._metrics.write({}, {n: v for n, v in counts.items() if v} | dict(outcome.times))
        by_model: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (model, version), rows in outcome.rows.items():
            by_model[model] += Counter(
                rows_count=rows,
                refused_rows_count=outcome.refused[model, version],
                fallback_rows_count=outcome.fallback[model, version],
            )
        for model, counted in by_model.items():
            self._metrics.write({"model": model, "route": "live"}, counted)

    def _log(self, outcome: ShardOutcome) -> None:
        line: dict[str, Any] = {
            "shard": outcome.shard,
            "records": outcome.records,
            "undecodable_records": outcome.undecodable,
            "repeated_records": outcome.skipped,
            "repeated_rows": outcome.repeated,
            "rows": {f"{name}:{version}": n for (name, version), n in outcome.rows.items()},
            "refused_rows": sum(outcome.refused.values()),
            "alerts": outcome.alerts.raised,
            "age_ms": round(outcome.oldest_seconds * 1000),
            **{step: round(value, 3) for step, value in outcome.times.items()},
        }
        if (windows := outcome.windows) is not None:
            line["late_rows"] = windows.counts.late
            line["closed_parts"] = windows.parts
            if windows.state_lost:
                self._logger.warning("window state lost", shard=outcome.shard)
        elif outcome.state is None and not self._warned:
            self._warned = True
            self._logger.warning("no windows: the event source has none", shard=outcome.shard)
        if outcome.failed is None:
            self._logger.info("scored", **line)
        else:
            self._logger.warning("to be tried again", **line, reason=str(outcome.error))
