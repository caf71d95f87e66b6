"""The log lines of `work` and `sweep`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quintet.jobs.messages import MessageResult
from quintet.jobs.sweep import Swept

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

__all__ = ["JobsTelemetry"]


class JobsTelemetry:
    """Writes a log line for each message and each sweep: ids, numbers and reasons, no payload."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def worked(self, results: Sequence[MessageResult]) -> None:
        """Write a line for each message; a warning if the message is retried."""
        for result in results:
            level = self._logger.info if result.acknowledged else self._logger.warning
            level(
                result.event,
                message_id=result.delivery.message,
                receives=result.delivery.receives,
                job=result.job,
                model=result.model,
                version=result.version,
                rows=result.rows,
                reason=result.reason,
            )

    def swept(self, swept: Swept) -> None:
        """Write a line with the counts of a sweep."""
        self._logger.info("swept", **dataclasses.asdict(swept))
