"""What was not announced is announced; jobs whose time is over are expired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quintet.errors import QuintetError
from quintet.jobs.dispatch import Dispatch
from quintet.jobs.store import Notice, Outbox

__all__ = ["GRACE_SECONDS", "Swept", "sweep"]

#: younger notices are on their way: whoever wrote them sends them
GRACE_SECONDS = 60.0


@dataclass(slots=True)
class Swept:
    """What a sweep did; `failed` are those that the next one meets again."""

    expired: int = 0
    announced: int = 0
    failed: int = 0


def sweep(
    outbox: Outbox,
    dispatch: Dispatch,
    now: float,
    has_time: Callable[[], bool] = lambda: True,
) -> Swept:
    """Expire what is overdue, and announce what has waited for longer than the grace.

    Raises:
        Transient: the store could not be read.
    """
    swept = Swept()
    while has_time():
        before = swept.expired
        jobs = outbox.overdue(now)
        for job in jobs:
            try:
                notice = outbox.expire(job, now)
                swept.expired += 1
            except QuintetError:  # it was settled meanwhile, or is worked on
                continue
            if notice is not None:
                _announce(dispatch, notice, swept)
        if not jobs or swept.expired == before:
            break
    while has_time():
        before = swept.announced
        notices = outbox.outbox(now - GRACE_SECONDS)
        for notice in notices:
            _announce(dispatch, notice, swept)
        if not notices or swept.announced == before:
            break
    return swept


def _announce(dispatch: Dispatch, notice: Notice, swept: Swept) -> None:
    try:
        dispatch.announce(notice)
        swept.announced += 1
    except QuintetError:
        swept.failed += 1
