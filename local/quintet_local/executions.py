"""Keep stopped executions ABORTED: moto marks one FAILED if its task ends after the stop.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["staying_stopped"]


def staying_stopped(set_error: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Wrap moto's method that fails a program, so that it leaves a stopped program alone.

    A state that ends in a stopped program cannot name the next state, which moto treats as an error
    of the program.
    """

    def fail(environment: Any, error: Any) -> None:
        from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped

        with environment._state_mutex:
            if not isinstance(environment._program_state, ProgramStopped):
                set_error(environment, error)

    return fail
