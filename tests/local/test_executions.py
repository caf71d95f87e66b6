"""An execution that was stopped is not failed by the end of the task that it was in."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.eval import program_state

from quintet_local.executions import staying_stopped

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
