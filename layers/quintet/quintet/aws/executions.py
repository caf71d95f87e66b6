"""Runs as executions of the batch scoring's state machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

__all__ = ["Executions"]


class Executions:
    """Starts executions."""

    def __init__(self, client: SFNClient, state_machine_arn: str) -> None:
        self._client = client
        self._arn = state_machine_arn

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `quintet.batch.drops.Runs.start`.

        Step Functions answers a second start like the first while the first runs, and refuses
        it once it has ended, for 90 days. An answer with an older start date is no new start,
        but nothing here depends on telling the two.
        """
        try:
            self._client.start_execution(
                stateMachineArn=self._arn, name=run, input=json.dumps(request, sort_keys=True)
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            self._check(run)
            return False
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            raise Transient(f"Step Functions answered {code}") from error
        except BotoCoreError as error:
            name = type(error).__name__
            raise Transient(f"Step Functions could not be reached ({name})") from error
        return True

    def _check(self, run: str) -> None:
        """Make sure that the run is there: only then is its notice settled."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:', 1)}:{run}"
        try:
            self._client.describe_execution(executionArn=arn)
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"run {run} is said to exist and cannot be seen") from error
