"""compact: merges new captures and labels into few objects, and deletes what is too old."""

from __future__ import annotations

import time
from typing import Any

from quintet.captures.compaction import compact
from quintet.labels.merging import merge
from quintet.wiring import captures as wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Compact; return the counts. Runs every hour."""
    left = context.get_remaining_time_in_millis
    last_start = left() / 3  # the last third is for the hour in progress
    bucket = wiring.bucket()
    done = compact(
        bucket, bucket, time.time(), has_time=lambda: left() > last_start, feed=wiring.feed()
    )
    labels = merge(bucket, has_time=lambda: left() > last_start)
    done.damaged += labels.damaged
    wiring.telemetry().compacted(done, labels.objects)
    return {**done.counts(), "merged_labels": labels.objects}
