"""What stops rollouts, as messages; and the notices of what became of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.rollouts import cause, in_memory, started

from quintet.errors import BadInput
from quintet.rollouts import transitions
from quintet.rollouts.notices import has_notice, notice
from quintet.rollouts.stops import Stop, message, stop_of
from quintet.rollouts.store import Change

BURNS = Stop(at=5.5, by="monitor", reason="it burns", model="fraud")


def alarm(value: str = "ALARM", **changed: Any) -> dict[str, Any]:
    """An event of EventBridge, as far as it is read."""
    state = {"value": value, "reason": "1 datapoint was over the threshold"}
    detail = {"alarmName": "stack-PredictErrorsAlarm-x", "state": state}
    event = {"source": "aws.cloudwatch", "time": "2026-11-30T20:00:10Z", "detail": detail}
    return event | changed


def test_a_message_of_a_function_comes_back_whole() -> None:
    assert stop_of(message(BURNS)) == BURNS


def test_an_alarm_that_rings_stops_every_rollout() -> None:
    assert stop_of(json.dumps(alarm())) == Stop(
        at=1_796_068_810.0,
        by="alarm",
        reason="stack-PredictErrorsAlarm-x rings: 1 datapoint was over the threshold",
    )
    assert stop_of(json.dumps(alarm("OK"))) is None


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ("no json", "expected JSON, got another text"),
        ("[]", "expected an object, got an array"),
        (
            "{}",
            "expected model, at, by and reason, or an event of a CloudWatch alarm, got KeyError",
        ),
        ('{"model": "a", "at": "now", "by": "b", "reason": "c"}', "got ValueError"),
        (json.dumps(alarm(time="now")), "got ValueError time data 'now'"),
        (json.dumps(alarm(detail=None)), "got TypeError"),
    ],
)
def test_another_message_is_refused(body: str, got: str) -> None:
    with pytest.raises(BadInput, match="message: ") as refused:
        stop_of(body)
    assert got in str(refused.value)


def changes() -> dict[str, Change]:
    """A change of each kind, of a canary of version 2 over version 1."""
    store = in_memory()
    begun = started(store)
    stored = store.read("small")
    return {
        "started": begun,
        "paused": transitions.pause(stored, cause(reason="too few rows")),
        "promoted": transitions.promote(stored, cause(reason="every gate is ok"), verdict="ok"),
        "rolled back": transitions.roll_back(stored, cause(reason="failures: 0.1 against 0")),
    }


def test_a_notice_says_what_happened_why_and_what_to_do() -> None:
    store = in_memory()
    started(store)
    rollout = store.read("small").rollout
    assert rollout is not None
    found = {
        event: notice(rollout, change, "prod")
        for event, change in changes().items()
        if has_notice(change)
    }
    assert found == {
        "paused": (
            "Quintet prod: small version 2 paused",
            "The rollout of small from version 1 to 2 stands still: version 2 keeps its share.\n"
            "Reason: too few rows (ann)\n"
            "quintet rollout status small --stage prod shows the gates; quintet rollout resume "
            "small --stage prod goes on, quintet rollout rollback small --stage prod ends it.",
        ),
        "promoted": (
            "Quintet prod: small version 2 promoted",
            "The rollout of small from version 1 to 2 succeeded: version 2 answers every request.\n"
            "Reason: every gate is ok (ann)\n"
            "quintet rollout rollback small --stage prod brings version 1 back, as long as it is "
            "kept ready.",
        ),
        "rolled back": (
            "Quintet prod: small version 2 rolled back",
            "The rollout of small from version 1 to 2 was rolled back: version 1 answers every "
            "request again.\n"
            "Reason: failures: 0.1 against 0 (ann)\n"
            "quintet rollout history small --stage prod shows the verdict.",
        ),
    }
