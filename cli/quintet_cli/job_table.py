"""The jobs of a stage, as the replay of their dead letters needs them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from quintet.aws.job_items import moment, number, seconds, shard, text
from quintet_cli.dead_letters import Jobs, KnownJob, NoJobs
from quintet_cli.stage import Stage

__all__ = ["JobTable", "jobs_of"]

#: a problem of at least this status is ours, not the request's: another attempt may go better
OURS = 500


class JobTable:
    """The jobs table; see `Jobs`."""

    def __init__(self, dynamodb: Any, table: str, clock: Callable[[], float] = time.time) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock

    def look(self, job: str) -> KnownJob | None:
        """See `Jobs.look`."""
        item = self._read(job)
        if item is None:
            return None
        detail = str(_problem(item).get("detail", ""))
        return KnownJob(item["model"]["S"], item["state"]["S"], detail)

    def reopen(self, job: str) -> bool:
        """See `Jobs.reopen`. The job gets the time anew that it had when it was accepted.

        The fence stays, so that a worker of before can change nothing; what its caller was told
        is forgotten, so that the second end is told, too.
        """
        item = self._read(job)
        if item is None or not _is_poisoned(item):
            return False
        now, created = self._clock(), seconds(item["created"]["S"])
        deadline = now + float(item["deadline"]["N"]) - created
        expires = int(now + int(item["expires"]["N"]) - created)
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"job": text(job)},
                UpdateExpression=(
                    "SET #state = :accepted, updated = :now, deadline = :deadline, "
                    "outbox = :open, due = :due, expires = :expires "
                    "REMOVE problem, lease_owner, lease_until, delivery_webhook, delivery_sns "
                    "ADD reopened :one"
                ),
                # as it was read: whoever else reopened it has changed `updated`
                ConditionExpression="#state = :failed AND updated = :seen",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={
                    ":accepted": text("ACCEPTED"),
                    ":failed": text("FAILED"),
                    ":seen": item["updated"],
                    ":now": number(now),
                    ":one": {"N": "1"},
                    ":deadline": number(deadline),
                    ":open": text(shard("open", job)),
                    ":due": text(moment(deadline)),
                    ":expires": {"N": str(expires)},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _read(self, job: str) -> Mapping[str, Any] | None:
        if "#" in job or not job:  # the table's other items are no jobs
            return None
        found = self._dynamodb.get_item(
            TableName=self._table,
            Key={"job": text(job)},
            ConsistentRead=True,
            ProjectionExpression="#state, #model, problem, created, updated, deadline, expires",
            ExpressionAttributeNames={"#state": "state", "#model": "model"},
        )
        item: Mapping[str, Any] | None = found.get("Item")
        return item


def _is_poisoned(item: Mapping[str, Any]) -> bool:
    """Whether a job failed because its message could not be handled, not by its own request."""
    return item["state"]["S"] == "FAILED" and int(_problem(item).get("status", 0)) >= OURS


def _problem(item: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item["problem"]["S"]) if "problem" in item else {}
    return found


def jobs_of(stage: Stage) -> Jobs:
    """The jobs of a stage."""
    table = stage.outputs.get("JobsTableName")
    return JobTable(stage.client("dynamodb"), table) if table else NoJobs()
