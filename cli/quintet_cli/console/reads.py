"""Reads of panels: each in a thread, once at a time, and no panel waits for another's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread

from quintet_cli.failures import reason_of

__all__ = ["Outcome", "Reads"]

logger = logging.getLogger("quintet.console")

#: how long a panel waits for its read before it says that the read goes on
PATIENCE_SECONDS = 5.0
THREADS = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a read gave: its `value`, or the reason for its failure, in plain words."""

    value: Any = None
    problem: str = ""
    #: whether the read goes on, so that the next look may find it done
    goes_on: bool = False


class Reads:
    """Runs reads by name; one that takes long goes on, and the next look takes what it found."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._under_way: dict[str, tuple[float, asyncio.Task[Outcome]]] = {}
        self._threads = CapacityLimiter(THREADS)

    async def look(
        self, name: str, read: Callable[[], Any], patience: float | None = None
    ) -> Outcome:
        """The outcome of a read, which joins one of that name that goes on already."""
        if name not in self._under_way:
            task = asyncio.create_task(self._run(name, read))
            self._under_way[name] = (time.monotonic(), task)
        began, task = self._under_way[name]
        done, _ = await asyncio.wait({task}, timeout=patience or self._patience)
        if not done:
            seconds = time.monotonic() - began
            return Outcome(problem=f"still reading after {seconds:.0f} s", goes_on=True)
        if self._under_way.get(name) == (began, task):
            del self._under_way[name]
        return task.result()

    async def _run(self, name: str, read: Callable[[], Any]) -> Outcome:
        try:
            value = await to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._threads)
        except Exception as error:
            if (reason := reason_of(error)) is not None:
                return Outcome(problem=reason)
            logger.exception("reading %s failed", name)
            kind = type(error).__name__
            return Outcome(problem=f"a defect ({kind}): the console's output has the traceback")
        return Outcome(value)
