"""score_stream: scores the records of a stream, one batch per invocation."""

from __future__ import annotations

from typing import Any

from quintet.errors import check_event
from quintet.streaming import kinesis_events
from quintet.wiring import stream as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Score the records of one shard; return the window's state and batch item failures.

    Records that cannot be scored go to the quarantine and are not failures. Transient failures are
    returned, not raised: for an exception the event source would split the batch in halves.
    """
    if not event.get("window"):  # the call that ends a window may have no records
        check_event(event, "records of a Kinesis stream", "Records")
    batch = kinesis_events.shard_batch(event)
    with wiring.traced(batch) as span:
        outcome = wiring.scorer().take(batch, kinesis_events.tumbling(event))
        if span is not None and outcome.failed is not None:
            span.failure = "fault"
    wiring.telemetry().settle(outcome)
    return kinesis_events.answer(outcome.state, outcome.failed)
