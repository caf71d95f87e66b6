"""Runs cases of each kind, within bounded processor time and memory, and collects what failed."""

from __future__ import annotations

import resource
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any

from tests.fuzz.kinds import HTTP, KINDS, Failure, answered
from tests.fuzz.leaks import leaks
from tests.fuzz.world import World

__all__ = ["Found", "Totals", "case_of", "check", "run"]

#: processor seconds of one case: no good request of its size takes a hundredth of it
SECONDS = 20.0


@dataclass(frozen=True)
class Found:
    """A case that failed, and why."""

    kind: str
    number: int
    case: bytes
    why: str


@dataclass
class Totals:
    """What came of all cases, by kind; the failures; the growth of the process in MB."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[Found] = field(default_factory=list)
    grown_mb: int = 0

    @property
    def cases(self) -> int:
        """How many cases were run."""
        return sum(count.total() for count in self.outcomes.values())


def case_of(seed: int, kind: str, number: int) -> bytes:
    """The input that a seed makes of its kind."""
    random = Random(f"{seed} {kind} {number}")
    return HTTP[kind](random) if kind in HTTP else KINDS[kind].make(random)


def check(world: World, kind: str, case: bytes) -> str:
    """What came of a case, in a word.

    Raises:
        Exception: what may not come of any input.
    """
    with _watched():
        if kind not in HTTP:
            return KINDS[kind].run(case)
        outcome, told = answered(world, case)
        if found := leaks(told, case.decode("utf-8", "replace")):
            raise Failure(f"it tells {found[:3]}")
        return outcome


def run(world: World, seed: int, kinds: list[str], cases: int) -> Totals:
    """Run some cases of each kind."""
    totals, before = Totals(), _peak_mb()
    for kind in kinds:
        outcomes = totals.outcomes[kind] = Counter()
        for number in range(cases):
            case = case_of(seed, kind, number)
            try:
                outcomes[check(world, kind, case)] += 1
            except BaseException as error:  # a panic of Rust's is no Exception
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcomes["failed"] += 1
                why = f"{type(error).__name__}: {error}"[:500]
                totals.failures.append(Found(kind, number, case, why))
                world.logged()
    totals.grown_mb = _peak_mb() - before
    return totals


@contextmanager
def _watched() -> Iterator[None]:
    """Fail what takes more processor time than any input may."""

    def expired(number: int, frame: FrameType | None) -> Any:
        raise Failure(f"it took more than {SECONDS} s of the processor")

    before = signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
