"""score_stream: scores the records of a stream, those of an invocation together."""

from __future__ import annotations

from typing import Any

from quintet.streaming import kinesis_events
from quintet.wiring import stream as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Score the records of one shard; the window's state, and what has to come again.

    What cannot be scored is kept in the quarantine and is no failure. A failure of the world is no
    exception either: that would have the event source cut the batch in halves.
    """
    outcome = wiring.scorer().take(
        kinesis_events.shard_batch(event), kinesis_events.tumbling(event)
    )
    wiring.telemetry().settle(outcome)
    return kinesis_events.answer(outcome.state, outcome.failed)
