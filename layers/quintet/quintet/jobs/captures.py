"""Captures of jobs: written before a job is settled, so that a crash leaves it to be scored again.

A second event of a job has the id of the first, and readers take one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from quintet.captures.events import taken
from quintet.captures.lines import begun_line, failure_line, prediction_lines, write_lines
from quintet.captures.plans import CapturePlan, Seal
from quintet.captures.versions import Began, version_lines
from quintet.columns import Batch
from quintet.errors import QuintetError, Transient
from quintet.jobs.grouping import Read, Scored
from quintet.jobs.job import Job
from quintet.serving import ModelRoute, Steps
from quintet.serving.model_cache import ModelCache

__all__ = ["JobCaptures"]

_STEPS = ("features_ms", "score_ms", "total_ms")


class JobCaptures:
    """Writes captures of jobs; `write` takes lines of the log, `clock` is in epoch seconds.

    Without `seal`, they have no sensitive features.
    """

    def __init__(
        self,
        write: Callable[[Sequence[bytes]], None] = write_lines,
        clock: Callable[[], float] = time.time,
        seal: Seal | None = None,
    ) -> None:
        self._write = write
        self._seal = seal
        self._clock = clock
        self._cold = True
        #: the versions that began to answer each job of the present run, with its event
        self._began: dict[str, tuple[Job, list[Began]]] = {}

    def begin(self, group: Sequence[Read], route: ModelRoute, rows: Mapping[int, Batch]) -> None:
        """Note that a version of a rollout begins, with its rows of some jobs of the group.

        For a canary's jobs it is written: a crash of the version leaves no end.
        """
        contract, lines, now = route.model.contract, [], self._clock()
        for number, batch in rows.items():
            job, current = group[number].job, group[number].route
            _, began = self._began.setdefault(job.id, (job, []))
            began.append(Began(contract, route.name, route.mark, (batch, None)))
            identity, capture = _event_of(job), contract.capture
            is_canary = bool(route.mark) and current is not None and current.canary is not None
            if is_canary and capture is not None and taken(identity, capture.rate):
                about = {"event": identity, "event_time": now, "job": job.id}
                lines.append(begun_line(about, route, batch.entities))
        if lines:
            self._write(lines)

    def broke_off(self, error: Transient) -> None:
        """Write that versions that began were stopped: their jobs are worked again later."""
        lines: list[bytes] = []
        for job, began in self._began.values():
            event = self._event(job) | {"rows": 0, "ms": {}}
            if (capture := began[0].contract.capture) and taken(event["event"], capture.rate):
                marked = [one for one in began if one.mark]
                lines += version_lines(event, (), (), error, marked)
        self._began.clear()
        self._settle(lines)

    def scored(self, group: Sequence[Read], scored: Sequence[Scored], steps: Steps) -> None:
        """Write the captures of jobs that were scored in one run."""
        capture = group[0].model.contract.capture
        if capture is None:
            return
        times = steps.milliseconds()
        took = {step: round(times[step], 3) for step in _STEPS if step in times}
        lines: list[bytes] = []
        for found, one in zip(group, scored, strict=True):
            _, began = self._began.pop(found.job.id, (found.job, []))
            event = self._event(found.job)
            if taken(event["event"], capture.rate):
                lines += _lines(event, found, one, took, began, seal=self._seal)
        self._began.clear()
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
        """The fields of a job's event."""
        event = {
            "event": _event_of(job),
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


def _event_of(job: Job) -> str:
    """The event of a job: its id, and how often it was put back by a replay."""
    return f"{job.id}.{job.reopened}" if job.reopened else job.id


def _lines(
    event: dict[str, Any],
    found: Read,
    one: Scored,
    took: Mapping[str, float],
    began: Sequence[Began],
    *,
    seal: Seal | None,
) -> list[bytes]:
    """The lines of one job."""
    rows, plan = found.asked.batch.rows, found.model.contract.compiled[CapturePlan]
    error = one.answer if isinstance(one.answer, Exception) else None
    if began or one.taken_out:
        if error is not None and not _is_final(error):
            return []
        event |= {"rows": rows, "ms": {}}
        known = [of._replace(asked=one.asked.get(of.contract.version, of.asked)) for of in began]
        return version_lines(event, one.parts, one.taken_out, error, known, seal=seal)
    event["ms"] = took
    if one.prediction is not None:
        event["route"] = one.prediction.route
        return prediction_lines(plan, event, one.prediction, seal=seal)
    return [failure_line(plan, event, error, rows)] if _is_final(error) else []


def _is_final(answer: object) -> TypeGuard[QuintetError]:
    """Whether an answer is an error that ends its job."""
    return isinstance(answer, QuintetError) and not isinstance(answer, Transient)
