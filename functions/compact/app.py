"""compact: merges new captures, labels and feedback into few objects, and deletes old captures."""

from __future__ import annotations

import time
from typing import Any

from quintet.captures.compaction import compact
from quintet.feedback.merging import merge as merge_feedback
from quintet.labels.merging import merge as merge_labels
from quintet.wiring import captures as wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Compact; return the counts. Runs every hour."""
    left = context.get_remaining_time_in_millis
    last_start = left() / 3  # the last third is for the hour in progress
    bucket = wiring.bucket()
    done = compact(
        bucket, bucket, time.time(), has_time=lambda: left() > last_start, feed=wiring.feed()
    )
    merged = {}
    for name, merge in (("merged_labels", merge_labels), ("merged_feedback", merge_feedback)):
        found = merge(bucket, has_time=lambda: left() > last_start)
        done.damaged += found.damaged
        merged[name] = found.objects
    wiring.telemetry().compacted(done, merged)
    return {**done.counts(), **merged}
