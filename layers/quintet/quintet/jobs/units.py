"""Decides which jobs of a batch of messages are leased and scored together, and in which order.

A job is leased when its unit starts, not with the whole batch: a worker that crashes leaves only
the jobs it was working on leased. They become suspects and run alone from then on. So a job that
crashes its worker costs any other job at most one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quintet.jobs.job import Job
from quintet.jobs.messages import Delivery

__all__ = ["MAX_UNIT_BYTES", "Waiting", "suspects", "units"]

#: bytes of requests held in memory at once, unless one request alone is larger
MAX_UNIT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that a message names; `job` is its state as read, None if not read."""

    name: str
    delivery: Delivery
    job: Job | None = None


def units(waiting: Sequence[Waiting]) -> list[list[Waiting]]:
    """Return the jobs in processing order, grouped into units that are leased together.

    The jobs of a unit have one model version, and their requests fit in memory together. A job that
    was not read runs alone. So does each suspect; suspects come last, the fewest broken runs first.
    """
    together: dict[tuple[str, int], list[list[Waiting]]] = {}
    unread, suspected = [], suspects(waiting)
    for one in waiting:
        if one.job is None:
            unread.append([one])
        elif not one.job.suspect:
            unit = together.setdefault((one.job.model, one.job.version), [[]])
            if unit[-1] and _size(unit[-1]) + one.job.request.size > MAX_UNIT_BYTES:
                unit.append([])
            unit[-1].append(one)
    known = [unit for of_version in together.values() for unit in of_version]
    return known + unread + [[one] for one in suspected]


def suspects(waiting: Sequence[Waiting]) -> list[Waiting]:
    """The jobs that may be crashing their workers, the fewest broken runs first."""
    found = [(one.job.broken, one) for one in waiting if one.job is not None and one.job.suspect]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _size(unit: Sequence[Waiting]) -> int:
    return sum(one.job.request.size for one in unit if one.job is not None)
