"""Runs as executions of the batch scoring's state machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet.batch.executions import Execution
from quintet.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

__all__ = ["Executions"]


class Executions:
    """Starts executions, looks them up and stops them."""

    def __init__(self, client: SFNClient, state_machine_arn: str) -> None:
        self._client = client
        self._machine = state_machine_arn

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `quintet.batch.drops.RunStarter.start`.

        Step Functions answers a second start like the first while the first runs, and refuses
        it once it has ended, for 90 days. An answer with an older start date is no new start,
        but nothing here depends on telling the two.
        """
        try:
            self._client.start_execution(
                stateMachineArn=self._machine, name=run, input=json.dumps(request, sort_keys=True)
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            self._check(run)
            return False
        except ClientError as error:
            raise Transient(f"Step Functions answered {_code(error)}") from error
        except BotoCoreError as error:
            raise Transient(_unreached(error)) from error
        return True

    def look(self, name: str) -> Execution | None:
        """See `quintet.batch.executions.Executions.look`."""
        try:
            found = self._client.describe_execution(executionArn=self._arn_of(name))
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        except ClientError as error:
            if _code(error) == "InvalidArn":  # no name that an execution can have
                return None
            raise Transient(f"Step Functions answered {_code(error)}") from error
        except BotoCoreError as error:
            raise Transient(_unreached(error)) from error
        cause = found.get("cause") or found.get("error") or ""
        return Execution(name, found["status"], cause, json.loads(found.get("input") or "{}"))

    def stop(self, name: str, error: str) -> None:
        """See `quintet.batch.executions.Executions.stop`."""
        try:
            self._client.stop_execution(executionArn=self._arn_of(name), error=error)
        except ClientError as error_:
            # one that has just ended is no error to AWS: it says when that was
            raise Transient(f"Step Functions answered {_code(error_)}") from error_
        except BotoCoreError as error_:
            raise Transient(_unreached(error_)) from error_

    def _check(self, run: str) -> None:
        """Make sure that the run is there: only then is its notice settled."""
        if self.look(run) is None:
            raise Transient(f"run {run} is said to exist and cannot be seen")

    def _arn_of(self, name: str) -> str:
        return f"{self._machine.replace(':stateMachine:', ':execution:', 1)}:{name}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "an error"))


def _unreached(error: BotoCoreError) -> str:
    return f"Step Functions could not be reached ({type(error).__name__})"
