"""A source of refused items in memory, and a console's replays of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from quintet.batch.stores import MemoryObjectStore
from quintet.replay.items import Pace, ReplayDepth, ReplayError, ReplayOutcome
from quintet.replay.replays import Replay, ReplayRun
from quintet_cli.console import replays

__all__ = ["TornItem", "TornSource", "replays_of"]


@dataclass(frozen=True)
class TornItem:
    """An item that fits a filter it contains."""

    text: str

    def fits(self, wanted: str) -> bool:
        """See `ReplayItem.fits`."""
        return wanted in self.text

    def stays(self, again: bool) -> bool:
        """See `ReplayItem.stays`."""
        return False

    def lines(self) -> Sequence[str]:
        """See `ReplayItem.lines`."""
        return [self.text, "  expected a number"]


@dataclass
class TornSource:
    """Items that are sent one by one, each when `free` is set."""

    contents: list[TornItem]
    name: str = "WorkDeadLetters"
    noun: str = "messages"
    about: str = "shop-WorkQueue"
    destination: str = "shop-WorkQueue"
    rate: float | None = None
    free: threading.Event = field(default_factory=threading.Event)
    sent: list[str] = field(default_factory=list)

    def depth(self) -> ReplayDepth:
        """See `ReplaySource.depth`."""
        return ReplayDepth(len(self.contents))

    def items(self) -> Generator[TornItem, None, None]:
        """See `ReplaySource.items`."""
        yield from self.contents

    def send_back(
        self, wanted: Callable[[Any], bool], replay: str, pace: Pace
    ) -> Iterator[ReplayOutcome]:
        """See `ReplaySource.send_back`."""
        for item in self.contents:
            assert self.free.wait(120)
            if wanted(item):
                self.sent.append(item.text)
                yield ReplayOutcome(sent=1, record={"item": item.text})
            else:
                yield ReplayOutcome(left=1)


def replays_of(source: TornSource, monkeypatch: pytest.MonkeyPatch) -> MemoryObjectStore:
    """Let consoles find this source alone; where the audit records go."""
    store = MemoryObjectStore()

    class Catalog:
        def named(self, name: str) -> TornSource:
            if name != source.name:
                raise ReplayError(f"no dead-letter queue is named {name}")
            return source

    def run_of(stage: Any, asked: Replay, via: str) -> ReplayRun:
        return ReplayRun(asked, store, "scores", {"user": "maria", "via": via})

    monkeypatch.setattr(replays, "catalog_at", lambda stage: Catalog())
    monkeypatch.setattr(replays, "run_of", run_of)
    return store
