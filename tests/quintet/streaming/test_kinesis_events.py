"""Lambda's events of a stream, in the forms that they come in."""

from __future__ import annotations

from typing import Any

import pytest

from quintet.streaming.kinesis_events import shard_batch, tumbling

#: the example of a tumbling window's last call, without its records
#: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
FINAL: dict[str, Any] = {
    "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
    "state": {"1": 282, "2": 715},
    "shardId": "shardId-000000000006",
    "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/lambda-stream",
    "isFinalInvokeForWindow": True,
    "isWindowTerminatedEarly": False,
}


@pytest.mark.parametrize("records", [{}, {"Records": []}, {"Records": None}])
def test_the_call_that_ends_a_window_may_come_without_records(records: dict[str, Any]) -> None:
    event = {**FINAL, **records}
    batch, window = shard_batch(event), tumbling(event)
    assert (batch.shard, len(batch.sequences)) == ("lambda-stream/shardId-000000000006", 0)
    assert window is not None
    assert (window.final, window.early, window.state) == (True, False, {"1": 282, "2": 715})
    assert window.end - window.start == 120
