"""An execution that was stopped is not failed by the end of the task that it was in."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.eval import program_state

from quintet_local.executions import renamed, staying_stopped

STATES: Any = program_state  # moto's are not typed


@pytest.mark.parametrize(
    ("state", "told"),
    [(None, ["why"]), (STATES.ProgramRunning(), ["why"]), (STATES.ProgramStopped("", "", ""), [])],
)
def test_an_error_after_a_stop_is_none(state: Any, told: list[str]) -> None:
    environment = SimpleNamespace(_program_state=state, _state_mutex=threading.RLock())
    errors: list[str] = []
    fail = staying_stopped(lambda _, error: errors.append(error))
    fail(environment, "why")
    assert errors == told


def test_a_state_starts_an_execution_by_the_names_of_the_api() -> None:
    env, called = SimpleNamespace(stack=[]), []

    def call(task: Any, env: Any, part: Any, given: dict[str, Any], credentials: str) -> None:
        called.append((given, credentials))
        env.stack.append({"executionArn": "arn", "startDate": datetime.fromtimestamp(5, UTC)})

    given = {"StateMachineArn": "machine", "Input": "{}"}
    renamed(call)("task", env, "part", normalised_parameters=given, credentials="none")
    assert called == [({"stateMachineArn": "machine", "input": "{}"}, "none")]
    assert env.stack == [{"ExecutionArn": "arn", "StartDate": 5.0}]
