"""Where refused things lie, whatever kind of place that is: what `quintet dlq` needs of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Depth", "Outcome", "Pace", "Place", "Thing", "fitting"]


class Thing(Protocol):
    """One refused thing, such as a message or a row."""

    def fits(self, wanted: str) -> bool:
        """Whether it fits one filter."""
        ...

    def stays(self, again: bool) -> bool:
        """Whether a replay leaves it whatever the filters; `again` sends what was sent before."""
        ...

    def lines(self) -> Sequence[str]:
        """What it is, for a reader."""
        ...


@dataclass(frozen=True, slots=True)
class Depth:
    """How many things a replay without filters finds; `note` tells of others."""

    lying: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay did with some things: sent together, or left.

    `record` is what the audit keeps of those sent, `told` what the caller hears of them.
    """

    sent: int = 0
    left: int = 0
    reopened: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""


class Place(Protocol):
    """A place where refused things lie.

    `noun` is what they are called, `about` tells where they are from. `rate` is how many a second
    go back unless told otherwise, None for all at once.
    """

    @property
    def name(self) -> str: ...

    @property
    def noun(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def source(self) -> str:
        """Where a replay sends them."""
        ...

    @property
    def rate(self) -> float | None: ...

    def depth(self) -> Depth:
        """How much lies here, about."""
        ...

    def things(self) -> Generator[Thing, None, None]:
        """All of it, each once; nothing is taken. Closing it releases what was held."""
        ...

    def send_back(
        self, wanted: Callable[[Thing], bool], replay: str, pace: Pace
    ) -> Iterator[Outcome]:
        """Send what is wanted back, and leave the rest; `replay` is the name of who sends."""
        ...


@dataclass
class Pace:
    """How fast things may go: at most `rate` a second, None for at once."""

    rate: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _free: float = float("-inf")

    def wait(self, things: int = 1) -> None:
        """Return once so many may go. What was not used is not caught up."""
        if self.rate is None:
            return
        now = self.clock()
        if self._free > now:
            self.sleep(self._free - now)
        self._free = max(self._free, now) + things / self.rate


def fitting(filters: Sequence[str]) -> Callable[[Thing], bool]:
    """Whether a thing fits every filter."""
    return lambda thing: all(thing.fits(wanted) for wanted in filters)
