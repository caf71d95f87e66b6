"""Runs as executions of the batch scoring's state machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.responses import error_name
from quintet.batch.executions import Execution
from quintet.errors import Transient

__all__ = ["StateMachineExecutions"]


class StateMachineExecutions:
    """Starts executions, looks them up and stops them; `client` is of `states`."""

    def __init__(self, client: AwsClient, state_machine_arn: str) -> None:
        self._client = client
        self._machine = state_machine_arn

    def start(self, run: str, request: Mapping[str, Any]) -> bool:
        """See `quintet.batch.drops.RunStarter.start`.

        Step Functions answers a second start like the first while the first runs, and refuses
        it once it has ended, for 90 days. An answer with an older start date is no new start,
        but nothing here depends on telling the two.
        """
        content = json.dumps(request, sort_keys=True)
        started = self._call(
            "StartExecution",
            {"stateMachineArn": self._machine, "name": run, "input": content},
            "ExecutionAlreadyExists",
        )
        if started is None:
            self._check(run)
        return started is not None

    def look(self, name: str) -> Execution | None:
        """See `quintet.batch.executions.Executions.look`."""
        found = self._call(
            "DescribeExecution",
            {"executionArn": self._arn_of(name)},
            "ExecutionDoesNotExist",
            "InvalidArn",  # no name that an execution can have
        )
        if found is None:
            return None
        cause = found.get("cause") or found.get("error") or ""
        return Execution(name, found["status"], cause, json.loads(found.get("input") or "{}"))

    def stop(self, name: str, error: str) -> None:
        """See `quintet.batch.executions.Executions.stop`."""
        # one that has just ended is no error to AWS: it says when that was
        self._call("StopExecution", {"executionArn": self._arn_of(name), "error": error})

    def _check(self, run: str) -> None:
        """Make sure that the run is there: only then is its notice settled."""
        if self.look(run) is None:
            raise Transient(f"run {run} is said to exist and cannot be seen")

    def _arn_of(self, name: str) -> str:
        return f"{self._machine.replace(':stateMachine:', ':execution:', 1)}:{name}"

    def _call(
        self, operation: str, payload: Mapping[str, Any], *expected: str
    ) -> dict[str, Any] | None:
        """The answer; None for the errors that are expected."""
        response = self._client.call(f"AWSStepFunctions.{operation}", payload)
        if response.status == 200:
            answer: dict[str, Any] = json.loads(response.body)
            return answer
        name = error_name(response)
        if name in expected:
            return None
        raise Transient(f"Step Functions answered {name or response.status}")
