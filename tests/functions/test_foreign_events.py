"""A function that is invoked by hand with an event of another source says which one it takes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kits.aws import load_app

from quintet.errors import BadInput

RUN = "a run of the state machine with run, request"


@pytest.mark.parametrize("event", [{}, {"httpMethod": "GET"}])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("compare", "SQS messages with Records"),
        ("drop", "SQS messages with Records"),
        ("notify", "SQS messages with Records"),
        ("plan_run", f"{RUN}, started"),
        ("report_run", RUN),
        ("rollout", "SQS messages with Records, or a rollout with model, rollout"),
        ("score_stream", "records of a Kinesis stream with Records"),
        ("score_unit", "a unit of a run with run, unit"),
        ("work", "SQS messages with Records"),
    ],
)
def test_an_event_of_another_source_is_refused(
    function: str, expected: str, event: dict[str, Any]
) -> None:
    with pytest.raises(BadInput) as refused:
        load_app(function).handler(event, Context())
    got = "{}" if not event else '{"httpMethod": "GET"}'
    assert str(refused.value) == f"event: expected {expected}; see events/, got {got}"


class Context:
    """What Lambda tells a handler."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000
