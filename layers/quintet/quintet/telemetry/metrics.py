"""Every metric that a function writes, with its CloudWatch unit. docs/operations.md explains them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
"""

from __future__ import annotations

from typing import Literal

__all__ = ["METRICS", "Unit"]

Unit = Literal["Count", "Milliseconds", "Seconds"]

_REQUESTS = (
    "requests_count",
    "refused_requests_count",
    "failed_requests_count",
    "rows_count",
    "refused_rows_count",
    "fallback_rows_count",
    "cache_hits_count",
    "circuit_opened_count",
    "load_ms",
    "decode_ms",
    "features_ms",
    "score_ms",
    "total_ms",
)
_CALLBACKS = (
    "callbacks_delivered_count",
    "callbacks_retried_count",
    "callbacks_given_up_count",
    "callbacks_stopped_count",
    "callback_age_seconds",
)
_STREAM = (
    "records_count",
    "undecodable_records_count",
    "repeated_records_count",
    "failed_batches_count",
    "late_rows_count",
    "out_of_order_rows_count",
    "window_parts_count",
    "window_spills_count",
    "window_state_lost_count",
    "alerts_count",
    "suppressed_alerts_count",
    "record_age_ms",
    "sink_ms",
    "windows_ms",
)
_UNITS: dict[str, Unit] = {"count": "Count", "ms": "Milliseconds", "seconds": "Seconds"}

#: the unit of each metric; the end of its name says which
METRICS: dict[str, Unit] = {
    name: _UNITS[name.rpartition("_")[2]] for name in (*_REQUESTS, *_CALLBACKS, *_STREAM)
}
