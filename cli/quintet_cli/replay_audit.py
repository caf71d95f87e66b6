"""The audit record of a replay: who put what back, from where, and when."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet_cli.refused import Outcome, Place
from quintet_cli.stage import Stage

__all__ = ["Audit", "who"]


def who(stage: Stage) -> dict[str, str]:
    """Whom AWS takes the caller for, and the account on the caller's machine."""
    arn: str = stage.client("sts").get_caller_identity()["Arn"]
    return {"arn": arn, "user": getpass.getuser()}


@dataclass
class Audit:
    """The record of one replay, an object in the scores bucket.

    It is written before the first thing goes, so that a replay that is killed has left one,
    and again at the end.
    """

    s3: Any
    bucket: str
    id: str
    place: Place
    who: dict[str, str]
    filters: Sequence[str]
    again: bool
    rate: float | None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent: list[Outcome] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Where the record is; by time, so that a listing is a history."""
        return f"audit/dlq/{self.started:%Y%m%dT%H%M%SZ}-{self.id}.json"

    @property
    def address(self) -> str:
        """Where the record is, with the bucket."""
        return f"s3://{self.bucket}/{self.key}"

    def write(self, status: str) -> None:
        """Write the record as it is now; `status` is running, done or stopped."""
        finished = None if status == "running" else datetime.now(UTC).isoformat()
        record = {
            "replay": self.id,
            "status": status,
            "place": self.place.name,
            "sent_to": self.place.source,
            "who": self.who,
            "started": self.started.isoformat(),
            "finished": finished,
            "filters": [*self.filters],
            "again": self.again,
            "rate": self.rate,
            "sent": [outcome.record for outcome in self.sent],
        }
        body = orjson.dumps(record, option=orjson.OPT_INDENT_2)
        self.s3.put_object(
            Bucket=self.bucket, Key=self.key, Body=body, ContentType="application/json"
        )
