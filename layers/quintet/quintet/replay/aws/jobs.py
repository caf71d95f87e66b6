"""The jobs table, for replays of dead letters."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, number, text
from quintet.aws.job_items import moment, seconds, shard
from quintet.replay.jobs import KnownJob, failed_on_our_side

__all__ = ["ReplayJobTable"]


class ReplayJobTable:
    """The jobs table; see `quintet.replay.jobs.ReplayJobs`."""

    def __init__(
        self, client: AwsClient, table: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = Table(client, table, resend_writes=False)
        self._clock = clock

    def find(self, job: str) -> KnownJob | None:
        """See `ReplayJobs.find`."""
        item = self._read(job)
        if item is None:
            return None
        detail = str(_problem(item).get("detail", ""))
        return KnownJob(item["model"]["S"], item["state"]["S"], detail)

    def reopen(self, job: str) -> bool:
        """See `ReplayJobs.reopen` and `quintet.replay.jobs.reopened`.

        The record of deliveries to its owner is removed, so that its next end is delivered, too.
        """
        item = self._read(job)
        if item is None or not failed_on_our_side(item["state"]["S"], _problem(item)):
            return False
        now, created = self._clock(), seconds(item["created"]["S"])
        deadline = now + float(item["deadline"]["N"]) - created
        try:
            self._table.call(
                "UpdateItem",
                Key={"job": text(job)},
                UpdateExpression=(
                    "SET #state = :accepted, updated = :now, deadline = :deadline, "
                    "outbox = :open, due = :due, expires = :expires "
                    "REMOVE problem, broken, lease_owner, lease_until, "
                    "delivery_webhook, delivery_sns "
                    "ADD reopened :one"
                ),
                # unchanged since it was read: another replay that reopened it changes `updated`
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
                    ":expires": {"N": str(int(now + int(item["expires"]["N"]) - created))},
                },
            )
        except ConditionFailed:
            return False
        return True

    def _read(self, job: str) -> Mapping[str, Any] | None:
        if "#" in job or not job:  # not a job id: the table also holds other items
            return None
        return self._table.item(
            {"job": text(job)},
            ProjectionExpression="#state, #model, problem, created, updated, deadline, expires",
            ExpressionAttributeNames={"#state": "state", "#model": "model"},
        )


def _problem(item: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item["problem"]["S"]) if "problem" in item else {}
    return found
