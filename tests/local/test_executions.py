"""An execution that was stopped is not failed by the end of the task that it was in."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.eval import program_state

from quintet_local.executions import named_and_few, renamed, staying_stopped

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


class Backend:
    """A machine whose executions are as a test says."""

    def __init__(self) -> None:
        self.executions: list[Any] = []

    def describe_state_machine(self, _: str) -> Any:
        return self

    def start(self, _: str, name: str) -> Any:
        started = SimpleNamespace(name=name, status="RUNNING")
        self.executions.append(started)
        return started


def test_the_executions_that_ended_last_are_kept_and_all_that_run() -> None:
    backend, start = Backend(), named_and_few(Backend.start, most=2)
    for name in "abcde":
        started = start(backend, "machine", name)
        before = backend.executions
        started.status = "RUNNING" if name == "b" else "SUCCEEDED"
    assert [one.name for one in before] == ["b", "c", "d", "e"]
    start(backend, "machine", "f")
    assert [one.name for one in backend.executions] == ["b", "d", "e", "f"]
    assert [one.name for one in before] == ["b", "c", "d", "e", "f"]  # a reader's


def test_an_execution_without_a_name_gets_one_of_its_own() -> None:
    backend, start = Backend(), named_and_few(Backend.start)
    names = {start(backend, "machine", given).name for given in (None, None, "one")}
    assert len(names) == 3 and "one" in names and None not in names
