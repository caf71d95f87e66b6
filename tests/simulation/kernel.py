"""Simulated time: tasks that wait, ports whose calls fail, all in one thread and from one seed.

A task is a greenlet: code of any depth, not written for it, waits inside a port's call while others
go on. So a worker is stopped between any two of its calls, for as long as the faults say.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from greenlet import greenlet
from tests.simulation.faults import CALL_KINDS, Faults

from quintet.errors import Transient

__all__ = ["Killed", "Port", "Simulation", "Task", "silent", "transient"]

#: seconds that a call takes, at least and mostly, and one in twenty
LATENCY, SLOW = 0.004, 2.0


class Killed(BaseException):
    """kill -9: nothing catches it, and a `finally` that goes on calling ports gets no further."""


@dataclass(eq=False, slots=True)
class Task:
    """Something that runs: one invocation, one client. Its clock is `skew` seconds ahead."""

    name: str
    skew: float = 0.0
    #: what its process keeps between invocations
    environment: dict[str, Any] = field(default_factory=dict)
    #: what it did that the observers of a scenario remember
    notes: set[str] = field(default_factory=set)
    dead: bool = False
    #: when it is killed, if it still runs
    deadline: float = float("inf")
    _greenlet: Any = None


class Simulation:
    """The clock, what is due, and the faults.

    `observe` gets every call of a port that was done: its task, site, arguments and what it
    returned or raised.
    """

    def __init__(self, seed: int, faults: Faults, start: float) -> None:
        self.seed = seed
        self.faults = faults
        self.start = self.now = start
        self.reach: Counter[str] = Counter()
        self.violations: list[str] = []
        self.current: Task | None = None
        self.observe: Callable[[Task, str, tuple[Any, ...], Any], None] = lambda *_: None
        self._trace = hashlib.blake2b(digest_size=16)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.tasks: set[Task] = set()
        self._hub = greenlet.getcurrent()

    # ---- time ------------------------------------------------------------------------------

    def at(self, moment: float, do: Callable[[], None]) -> None:
        """Have something done at a moment, or now if that is past."""
        heapq.heappush(self._due, (max(moment, self.now), next(self._order), do))

    def clock(self) -> float:
        """The time by the clock of the task that asks."""
        return self.now + (self.current.skew if self.current else 0.0)

    def run(self, until: float) -> None:
        """Let everything happen that is due by then."""
        while self._due and self._due[0][0] <= until:
            self.now, _, do = heapq.heappop(self._due)
            do()
        self.now = max(self.now, until)

    def close(self) -> None:
        """End tasks that still wait."""
        for task in list(self.tasks):
            task.dead = True
            self.current = task  # what it calls on its way out gets no further
            task._greenlet.throw(Killed)
        self.current = None
        self._due.clear()

    @property
    def idle(self) -> bool:
        """Whether no task runs or waits."""
        return not self.tasks

    # ---- tasks -----------------------------------------------------------------------------

    def spawn(
        self,
        run: Callable[[], None],
        name: str,
        *,
        after: float = 0.0,
        skew: float = 0.0,
        environment: dict[str, Any] | None = None,
    ) -> Task:
        """Start a task. Whoever kills it ends it alone: what it raises otherwise is a defect."""
        task = Task(name, skew, {} if environment is None else environment)

        def body() -> None:
            try:
                run()
            except Killed:
                pass
            except Exception as error:
                self.violations.append(f"{name} raised: {type(error).__name__}: {error}")
            finally:
                self.tasks.discard(task)

        task._greenlet = greenlet(body, parent=self._hub)
        self.tasks.add(task)
        self.at(self.now + after, partial(self._resume, task))
        return task

    def sleep(self, seconds: float) -> None:
        """Let the present task wait."""
        task = self._running()
        self.at(min(self.now + seconds, task.deadline), partial(self._resume, task))
        self._hub.switch()
        if task.dead or self.now >= task.deadline:
            self.kill()

    def kill(self) -> None:
        """End the process of the present task."""
        task = self._running()
        task.dead = True
        raise Killed

    def _running(self) -> Task:
        assert self.current is not None, "only tasks wait"
        return self.current

    def _resume(self, task: Task) -> None:
        if not task._greenlet.dead:
            self.current = task
            try:
                task._greenlet.switch()
            finally:
                self.current = None

    # ---- calls -----------------------------------------------------------------------------

    def call(
        self,
        site: str,
        do: Callable[..., Any],
        kinds: tuple[str, ...],
        refuse: Callable[[str], None],
        *given: Any,
        **more: Any,
    ) -> Any:
        """Make a port's call, or what the faults make of it."""
        task = self.current
        if task is None:
            return do(*given, **more)
        if task.dead:
            raise Killed
        fault = self.faults.at(site, self.now, kinds)
        kind = fault.kind if fault else ""
        self.note(site, fault)
        self.sleep(self._latency(site) + (fault.seconds if fault and kind == "delayed" else 0.0))
        if kind == "killed before":
            self.kill()
        if kind in ("throttled", "clogged"):
            return refuse(site)
        found = self._do(task, site, do, given, more)
        if kind == "done twice":
            found = self._do(task, site, do, given, more)
        if kind == "killed after":
            self.kill()
        if fault and kind == "reply delayed":
            self.sleep(fault.seconds)
        if kind == "reply lost":
            return refuse(site)
        if isinstance(found, Exception):
            raise found
        return found

    def note(self, *what: object) -> None:
        """Add to the trace: two runs of one seed have the same."""
        name = self.current.name if self.current else ""
        self._trace.update(f"{self.now:.6f} {name} {' '.join(map(str, what))}\n".encode())

    @property
    def digest(self) -> str:
        """The hash of all that happened."""
        return self._trace.hexdigest()

    def _latency(self, site: str) -> float:
        drawn = self.faults.uniform(f"{site}/latency")
        return LATENCY * (0.5 + drawn) if drawn < 0.95 else SLOW * (drawn - 0.95) * 20

    def _do(
        self,
        task: Task,
        site: str,
        do: Callable[..., Any],
        given: tuple[Any, ...],
        more: dict[str, Any],
    ) -> Any:
        found: Any
        try:
            found = do(*given, **more)
            if isinstance(found, Iterator):
                found = iter(list(found))
        except Exception as error:
            found = error
        self.observe(task, site, given, found)
        return found


def silent(site: str) -> None:
    """The refusal of a call that is made at best effort: nobody hears of it."""


def transient(site: str) -> None:
    """The refusal of a call."""
    raise Transient(f"{site} does not answer")


class Port:
    """A port whose calls take time and fail. `refuse` raises what a call raises that fails."""

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        real: Any,
        *,
        kinds: tuple[str, ...] = CALL_KINDS,
        refuse: Callable[[str], None] = transient,
    ) -> None:
        self.name = name
        self.real = real
        self.refuse = refuse
        self._simulation = simulation
        self._kinds = kinds

    def __getattr__(self, method: str) -> Any:
        real = getattr(self.real, method)
        if not callable(real):
            return real
        site = f"{self.name}.{method}"
        found = partial(self._simulation.call, site, real, self._kinds, self.refuse)
        self.__dict__[method] = found
        return found
