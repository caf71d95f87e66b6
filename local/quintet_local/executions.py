"""What moto does otherwise with executions: ended and stopped ones, and those that a state starts.

It keeps all that ever ran, with all that they held; marks an execution FAILED whose task ends after
a stop; and calls its own API with the names of the language where that has others
(`StateMachineArn`, `stateMachineArn`).
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

__all__ = ["named_and_few", "renamed", "staying_stopped"]

#: executions of a state machine that are kept once they have ended, the newest
MOST = 200


def named_and_few(start: Callable[..., Any], most: int = MOST) -> Callable[..., Any]:
    """Wrap moto's start of an execution: it gets a name, and the oldest that have ended go.

    moto calls all executions without a name `None`.
    """
    lock = threading.Lock()

    def start_one(backend: Any, arn: str, name: str | None = None, *rest: Any) -> Any:
        with lock:
            found = start(backend, arn, name or str(uuid.uuid4()), *rest)
            machine = backend.describe_state_machine(arn)
            ended = [one for one in machine.executions if one.status != "RUNNING"]
            if len(ended) > most:
                gone = {id(one) for one in ended[:-most]}
                # a new list: readers go on with theirs
                machine.executions = [one for one in machine.executions if id(one) not in gone]
        return found

    return start_one


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


def renamed(evaluate: Callable[..., None]) -> Callable[..., None]:
    """Wrap moto's task of `states:startExecution`, so that it calls the API with the API's names.

    The response is left on the environment's stack, with the names of the language.
    """

    def evaluate_task(
        task: Any, env: Any, resource_runtime_part: Any, normalised_parameters: Any, **rest: Any
    ) -> None:
        given = {name[0].lower() + name[1:]: v for name, v in normalised_parameters.items()}
        evaluate(task, env, resource_runtime_part, given, **rest)
        env.stack.append({_title(name): _plain(v) for name, v in env.stack.pop().items()})

    return evaluate_task


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


def _plain(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value
