"""Captures of jobs: written before a job is settled, so that a crash leaves it to be scored again.

A second event of a job has the id of the first, and readers take one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from quintet.captures.events import taken
from quintet.captures.lines import failure_line, prediction_lines, write_lines
from quintet.captures.plans import CapturePlan
from quintet.errors import QuintetError, Transient
from quintet.jobs.grouping import Read, Scored
from quintet.jobs.job import Job
from quintet.serving import Steps
from quintet.serving.model_cache import ModelCache

__all__ = ["JobCaptures"]

_STEPS = ("features_ms", "score_ms", "total_ms")


class JobCaptures:
    """Writes captures of jobs; `write` takes lines of the log."""

    def __init__(self, write: Callable[[Sequence[bytes]], None] = write_lines) -> None:
        self._write = write
        self._cold = True

    def scored(self, group: Sequence[Read], scored: Sequence[Scored], steps: Steps) -> None:
        """Write the captures of jobs that were scored in one run."""
        capture = group[0].model.contract.capture
        if capture is None:
            return
        plan: CapturePlan = group[0].model.contract.compiled[CapturePlan]
        times = steps.milliseconds()
        took = {step: round(times[step], 3) for step in _STEPS if step in times}
        lines: list[bytes] = []
        for found, one in zip(group, scored, strict=True):
            event = self._event(found.job) | {"ms": took}
            if not taken(event["event"], capture.rate):
                continue
            if one.prediction is not None:
                event["route"] = one.prediction.route
                lines += prediction_lines(plan, event, one.prediction)
            elif _is_final(one.answer):
                lines.append(failure_line(plan, event, one.answer, found.asked.batch.rows))
        self._settle(lines)

    def refused(self, job: Job, error: Exception, models: ModelCache) -> None:
        """Write the capture of a job whose request could not be read."""
        if not _is_final(error):
            return
        try:
            contract = models.get(job.model, job.version).contract
        except QuintetError:  # the version is what could not be read
            return
        event = self._event(job)
        if contract.capture is not None and taken(event["event"], contract.capture.rate):
            plan: CapturePlan = contract.compiled[CapturePlan]
            self._settle([failure_line(plan, event, error, 0)])

    def _event(self, job: Job) -> dict[str, Any]:
        """The event of a job: its id, and how often it was put back by a replay."""
        again = f".{job.reopened}" if job.reopened else ""
        event = {
            "event": f"{job.id}{again}",
            "event_time": job.created,
            "path": "async",
            "caller": job.owner,
            "job": job.id,
        }
        return event | ({"cold": True} if self._cold else {})

    def _settle(self, lines: Sequence[bytes]) -> None:
        self._cold = False
        if lines:
            self._write(lines)


def _is_final(answer: object) -> TypeGuard[QuintetError]:
    """Whether an answer is an error that ends its job."""
    return isinstance(answer, QuintetError) and not isinstance(answer, Transient)
