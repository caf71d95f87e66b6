"""What became of messages, and of the jobs that they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quintet.jobs.deliveries import Delivery
from quintet.jobs.job import Job, Lease

__all__ = ["LEASED_ELSEWHERE", "NOT_OURS", "MessageResult", "Task"]

NOT_OURS = "not ours"
LEASED_ELSEWHERE = "held by another"


@dataclass(frozen=True, slots=True)
class MessageResult:
    """What became of a message: it is acknowledged, or it failed and comes back."""

    delivery: Delivery
    event: str
    acknowledged: bool
    job: str = ""
    model: str = ""
    version: int = 0
    rows: int = 0
    reason: str = ""

    def line(self) -> dict[str, Any]:
        """What the log says of it: ids, numbers and reasons, never what was asked."""
        return {
            "message_id": self.delivery.message,
            "receives": self.delivery.receives,
            "job": self.job,
            "model": self.model,
            "version": self.version,
            "rows": self.rows,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Task:
    """A leased job and its message."""

    delivery: Delivery
    job: Job

    @property
    def lease(self) -> Lease:
        assert self.job.lease is not None
        return self.job.lease

    def result(
        self, event: str, acknowledged: bool, reason: str = "", rows: int = 0
    ) -> MessageResult:
        job = self.job
        place = (job.id, job.model, job.version)
        return MessageResult(self.delivery, event, acknowledged, *place, rows, reason)
