"""The subjects of a replay: refused items, and the sources that hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quintet.errors import QuintetError

__all__ = [
    "Pace",
    "ReplayDepth",
    "ReplayError",
    "ReplayItem",
    "ReplayOutcome",
    "ReplaySource",
    "matching",
]


class ReplayError(QuintetError):
    """A replay cannot start or go on. The text says why, and what stays where it was."""


class ReplayItem(Protocol):
    """One refused item: a message, a row or a record."""

    def fits(self, wanted: str) -> bool:
        """Whether the item fits one filter."""
        ...

    def stays(self, again: bool) -> bool:
        """Whether a replay leaves the item regardless of the filters.

        With `again`, an item that was replayed before is sent once more.
        """
        ...

    def lines(self) -> Sequence[str]:
        """The item as text for a reader."""
        ...


@dataclass(frozen=True, slots=True)
class ReplayDepth:
    """How many items a replay without filters would send; `note` describes the others."""

    waiting: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """One step of a replay: items that were sent together, or items that were left.

    `record` is the audit record of the items sent, `hint` a line for the caller about them.
    """

    sent: int = 0
    left: int = 0
    reopened: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""


class ReplaySource(Protocol):
    """A place that holds refused items.

    `noun` names its items, `about` says where they came from, `destination` where a replay sends
    them. `rate` is the default number of items a second, None for no limit.
    """

    @property
    def name(self) -> str: ...

    @property
    def noun(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def destination(self) -> str: ...

    @property
    def rate(self) -> float | None: ...

    def depth(self) -> ReplayDepth:
        """The approximate number of items that the source holds."""
        ...

    def items(self) -> Generator[ReplayItem, None, None]:
        """Every item once. Nothing is removed; closing the generator releases what it holds."""
        ...

    def send_back(
        self, wanted: Callable[[Any], bool], replay: str, pace: Pace
    ) -> Iterator[ReplayOutcome]:
        """Send the wanted items back and leave the rest; `replay` is the replay's id.

        Raises:
            ReplayError: the source cannot be read, or another replay of it is running.
        """
        ...


@dataclass
class Pace:
    """A rate limit: at most `rate` items a second, None for no limit."""

    rate: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _free: float = float("-inf")

    def wait(self, items: int = 1) -> None:
        """Return once `items` more may be sent. Unused time does not accumulate."""
        if self.rate is None:
            return
        now = self.clock()
        if self._free > now:
            self.sleep(self._free - now)
        self._free = max(self._free, now) + items / self.rate


def matching(filters: Sequence[str]) -> Callable[[ReplayItem], bool]:
    """A predicate: whether an item fits every filter."""
    return lambda item: all(item.fits(wanted) for wanted in filters)
