"""Batch runs as executions of the batch state machine."""

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
    """Starts, looks up and stops executions; `client` is for `states`."""

    def __init__(self, client: AwsClient, state_machine_arn: str) -> None:
        self._client = client
        self._machine = state_machine_arn

    def start(self, run: str, request: Mapping[str, Any]) -> bool:
        """See `quintet.batch.drops.RunStarter.start`.

        While an execution runs, Step Functions answers a second start like the first; for 90
        days after its end, it refuses the name. An older start date in the response would show
        that nothing was started, but no caller depends on the difference.
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
            "InvalidArn",  # not a valid execution name
        )
        if found is None:
            return None
        cause = found.get("cause") or found.get("error") or ""
        return Execution(name, found["status"], cause, json.loads(found.get("input") or "{}"))

    def running(self) -> list[str]:
        """Return the names of the executions that are running.

        Raises:
            Transient: they could not be listed now.
        """
        names: list[str] = []
        page: dict[str, Any] | None = {}
        while page is not None:
            token = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
            wanted = {"stateMachineArn": self._machine, "statusFilter": "RUNNING", **token}
            page = self._call("ListExecutions", wanted) or {}
            names += [execution["name"] for execution in page.get("executions", [])]
            page = page if page.get("nextToken") else None
        return names

    def stop(self, name: str, error: str) -> None:
        """See `quintet.batch.executions.Executions.stop`."""
        # for an execution that has ended, AWS returns its stop date, not an error
        self._call("StopExecution", {"executionArn": self._arn_of(name), "error": error})

    def _check(self, run: str) -> None:
        """Check that the run exists: only then may its message be acknowledged."""
        if self.look(run) is None:
            raise Transient(f"Step Functions reports that run {run} exists but does not find it")

    def _arn_of(self, name: str) -> str:
        return f"{self._machine.replace(':stateMachine:', ':execution:', 1)}:{name}"

    def _call(
        self, operation: str, payload: Mapping[str, Any], *expected: str
    ) -> dict[str, Any] | None:
        """Return the response; None for the expected errors."""
        response = self._client.call(f"AWSStepFunctions.{operation}", payload)
        if response.status == 200:
            answer: dict[str, Any] = json.loads(response.body)
            return answer
        name = error_name(response)
        if name in expected:
            return None
        raise Transient(f"Step Functions answered {name or response.status}")
