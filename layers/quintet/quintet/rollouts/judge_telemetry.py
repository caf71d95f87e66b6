"""The log lines, metrics and notices of judges, in `rollout` and `compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from quintet.errors import QuintetError
from quintet.rollouts.notices import notice
from quintet.rollouts.state import Rollout
from quintet.rollouts.stops import Stop
from quintet.rollouts.store import Change

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

    from quintet.telemetry.powertools import MetricsWriter

__all__ = ["JudgeTelemetry"]


class JudgeTelemetry:
    """Writes what became of rollouts. `publish` sends a notice: its subject and text."""

    def __init__(
        self,
        logger: Logger,
        metrics: MetricsWriter,
        stage: str,
        publish: Callable[[str, str], None] | None,
    ) -> None:
        self._logger = logger
        self._metrics = metrics
        self._stage = stage
        self._publish = publish

    def changed(self, rollout: Rollout, change: Change) -> None:
        """A change of `rollout` was made."""
        level = self._logger.warning if change.event in _WARNED else self._logger.info
        level("rollout changed", **_about(rollout, change), reason=change.cause.reason)
        event = change.event.replace(" ", "_")
        of = {"model": rollout.model, "event": event}
        self._metrics.write(of, {"rollout_changes_count": 1})

    def notify(self, rollout: Rollout, change: Change) -> bool:
        """Send the notice of a change of `rollout`; whether it was sent, or nobody wants any."""
        if self._publish is None:
            return True
        try:
            self._publish(*notice(rollout, change, self._stage))
        except QuintetError as error:
            about = _about(rollout, change)
            self._logger.error("no notice was sent", **about, reason=str(error))
            return False
        return True

    def unjudged(self, rollout: Rollout, error: Exception) -> None:
        """The evidence of a rollout could not be judged."""
        about: dict[str, Any] = {"model": rollout.model, "rollout": rollout.id}
        if isinstance(error, QuintetError):
            self._logger.warning("rollout not judged", **about, reason=str(error))
        else:
            self._logger.exception("rollout not judged", **about)
        self._metrics.write({"model": rollout.model}, {"unjudged_rollouts_count": 1})

    def stopped(self, stop: Stop, models: Sequence[str]) -> None:
        """A stop was handled: it rolled back the rollouts of `models`."""
        about: dict[str, Any] = {"model": stop.model, "by": stop.by, "reason": stop.reason}
        self._logger.info("rollouts stopped", **about, models=list(models))

    def buried(self, message: str, reason: str) -> None:
        """A message of the queue is nothing that stops rollouts; it is a dead letter."""
        self._logger.warning("dead letter", message_id=message, reason=reason)

    def left(self, message: str, reason: str) -> None:
        """A message of the queue could not be handled, and comes again."""
        self._logger.warning("to be tried again", message_id=message, reason=reason)


def _about(rollout: Rollout, change: Change) -> dict[str, Any]:
    return {
        "model": rollout.model,
        "rollout": rollout.id,
        "live": rollout.live,
        "candidate": rollout.candidate,
        "event": change.event,
    }


_WARNED = ("rolled back", "paused")
