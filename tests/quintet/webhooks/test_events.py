"""Messages of the notify queue: their types, and the events of alerts and of ends of runs."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from tests.kits.alerts import alert

from quintet.errors import BadInput
from quintet.jobs.store import JobEvent
from quintet.streaming.alert import content
from quintet.webhooks.events import (
    WebhookMessage,
    alert_webhook_id,
    message_type,
    webhook_event,
)

TOLD: dict[str, Any] = {
    "run": "churn-2026-abc",
    "model": "churn",
    "status": "failed",
    "cause": "x" * 5000,
    "bucket": "scores",
    "report": "runs/churn/churn-2026-abc/report.json",
    "page": "runs/churn/churn-2026-abc/report.html",
    "counts": {"rows": 9, "scored": 8, "quarantined": 0, "fallback": 0, "unaccounted": 1},
    "finished": "2026-11-20T08:01:00.500+00:00",
    "seconds": 60.5,
    "drift": {"compared": 4, "moved": 1},
    "callback": "crm",
    "traceparent": "00-a-b-01",
}


def message(**changes: Any) -> str:
    """A message as Step Functions sends it: it keeps no order of the fields."""
    told = {"type": "run", "execution": "churn-2026-abc-r1", "endpoint": "crm", "run": TOLD}
    return json.dumps({**told, **changes}, sort_keys=True)


def test_the_end_of_a_run_is_told_once_for_each_of_its_executions() -> None:
    event = webhook_event(message())
    assert (event.type, event.subject, event.model) == ("run", "run/churn-2026-abc-r1", "churn")
    assert (event.endpoint, event.webhook_id) == ("crm", "run_churn-2026-abc-r1")
    assert (event.at, event.traceparent) == (1795161660.5, "00-a-b-01")
    kept = ("run", "model", "status", "bucket", "report", "page", "counts", "seconds", "drift")
    assert orjson.loads(event.body) == {
        "type": "run.failed",
        "timestamp": "2026-11-20T08:01:00.500+00:00",
        "data": {**{name: TOLD[name] for name in kept}, "cause": "x" * 2000},
    }
    # whatever the order in which the fields came
    assert webhook_event(json.dumps(json.loads(message()))).body == event.body
    again = webhook_event(message(execution="churn-2026-abc-r2"))
    assert again.webhook_id != event.webhook_id


@pytest.mark.parametrize(
    "changes",
    [
        {"run": 7},
        {"run": {}},
        {"execution": None, "run": {**TOLD, "finished": "soon"}},
        {"run": {**TOLD, "finished": None}},
        {"run": {name: value for name, value in TOLD.items() if name != "cause"}},
    ],
)
def test_what_is_no_end_of_a_run_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"^message: expected the end of a run and an endpoint"):
        webhook_event(message(**changes))


# ---- alerts --------------------------------------------------------------------------------------


def test_an_alert_is_posted_to_the_endpoint_of_its_message() -> None:
    raised = alert(at=0.125)
    event = webhook_event(WebhookMessage(raised, "ops").message())
    assert (event.type, event.subject, event.model) == ("alert", raised.id, "room")
    assert (event.endpoint, event.webhook_id) == ("ops", alert_webhook_id(raised))
    assert event.at == raised.at
    assert orjson.loads(event.body) == {
        "type": "alert.raised",
        "timestamp": "2027-01-15T08:00:00.125000Z",
        "data": content(raised),
    }


def test_a_broken_alert_is_refused() -> None:
    whole = json.loads(WebhookMessage(alert(), "ops").message())
    for broken in (1, {}, {**whole["alert"], "at": "soon"}):
        with pytest.raises(BadInput, match=r"^message: expected an alert and an endpoint"):
            webhook_event(json.dumps({**whole, "alert": broken}))
    with pytest.raises(BadInput, match=r"^message: expected an alert and an endpoint"):
        webhook_event('{"type": "alert"}')


# ---- types ---------------------------------------------------------------------------------------


def test_every_message_names_its_type() -> None:
    assert message_type(JobEvent("j1", "completed").message()) == "job"
    assert message_type(WebhookMessage(alert(), "ops").message()) == "alert"
    assert message_type(message()) == "run"
    # by its type, whatever else it holds
    assert message_type('{"alert": {}, "run": {}, "type": "job"}') == "job"


def test_messages_of_the_release_before_have_no_type() -> None:
    untyped = json.loads(message())
    del untyped["type"]
    assert webhook_event(json.dumps(untyped)) == webhook_event(message())
    called = {"alert": content(alert()), "endpoint": "ops"}
    typed = WebhookMessage(alert(), "ops").message()
    assert webhook_event(json.dumps(called)) == webhook_event(typed)
    old = '{"job": "j1", "event": "completed"}'
    assert message_type(old) == "job"
    assert JobEvent.read(old) == JobEvent("j1", "completed")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "7",
        "{}",
        "\x00",
        "{" * 9_000,
        '{"type": "letter"}',
        '{"type": ["run"]}',
    ],
)
def test_a_message_of_another_type_is_refused(body: str) -> None:
    with pytest.raises(BadInput, match=r"^message: expected the type job, alert or run"):
        webhook_event(body)


def test_a_message_of_a_job_holds_no_event() -> None:
    with pytest.raises(BadInput, match=r"^type: expected alert or run, got job$"):
        webhook_event(JobEvent("j1", "completed").message())
