"""The end of a run as a webhook: what is sent, under which id, and what is no such message."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from quintet.errors import BadInput
from quintet.webhooks.runs import is_run_end, run_call

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
    "drift": {"large": 0, "some": 1},
    "callback": "crm",
}


def message(**changes: Any) -> str:
    """A message as Step Functions sends it: it keeps no order of the fields."""
    told = {"execution": "churn-2026-abc-r1", "endpoint": "crm", "run": TOLD}
    return json.dumps({**told, **changes}, sort_keys=True)


def test_the_end_of_a_run_is_told_once_for_each_of_its_executions() -> None:
    assert is_run_end(message())
    call = run_call(message())
    assert (call.kind, call.subject, call.model) == ("run", "run/churn-2026-abc-r1", "churn")
    assert (call.endpoint, call.webhook_id) == ("crm", "run_churn-2026-abc-r1")
    assert call.at == 1795161660.5
    kept = ("run", "model", "status", "bucket", "report", "page", "counts", "seconds", "drift")
    assert orjson.loads(call.body) == {
        "type": "run.failed",
        "timestamp": "2026-11-20T08:01:00.500+00:00",
        "data": {**{name: TOLD[name] for name in kept}, "cause": "x" * 2000},
    }
    # whatever the order in which the fields came
    assert run_call(json.dumps(json.loads(message()))).body == call.body
    again = run_call(message(execution="churn-2026-abc-r2"))
    assert again.webhook_id != call.webhook_id


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
    assert is_run_end(message(**changes))
    with pytest.raises(BadInput, match=r"^message: expected the end of a run and an endpoint"):
        run_call(message(**changes))


@pytest.mark.parametrize("body", ["", "no json", "[]", "7", '{"job": "a", "event": "done"}'])
def test_messages_of_others_are_no_ends_of_runs(body: str) -> None:
    assert not is_run_end(body)
