"""Replays that the console runs: each is asked for twice, and leaves an audit record."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

from quintet.errors import BadInput, NotFound
from quintet.replay.replays import Replay, ReplayRun
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.failures import reason_of
from quintet_cli.replaying import catalog_at, run_of

__all__ = ["Asked", "Item", "Preview", "Replays", "Running"]

#: items that a preview looks at, and shows
LOOKED_AT, SHOWN = 1000, 50
#: how long a question may be answered
ASKED_SECONDS = 600.0
STOP_SECONDS = 10.0
VIA = "quintet console"


@dataclass(frozen=True, slots=True)
class Item:
    """A refused item as text, and whether the replay would send it."""

    lines: tuple[str, ...]
    wanted: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would send: of the `count` items that were looked at, `would`.

    `more` says that there are others beyond.
    """

    replay: Replay
    items: list[Item]
    count: int
    would: int
    more: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A replay that was asked for once: `id` and the source's name confirm it."""

    id: str
    preview: Preview
    until: float


@dataclass
class Running:
    """A replay that was confirmed."""

    run: ReplayRun
    problem: str = ""
    done: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def state(self) -> str:
        """How it stands."""
        if self.problem:
            return "stopped"
        return "done" if self.done else "running"

    def follow(self) -> None:
        """Run it to its end, or until it is to stop."""
        try:
            with closing(self.run.run()) as steps:  # closed early, its record says "stopped"
                for _ in steps:
                    if self.stop.is_set():
                        self.problem = "the console ended"
                        return
            self.done = True
        except Exception as error:
            self.problem = reason_of(error) or f"a defect ({type(error).__name__})"


class Replays:
    """The replays of a console."""

    def __init__(self, stage: SharedStage) -> None:
        self._stage = stage
        self._asked: dict[str, Asked] = {}
        self._running: dict[str, Running] = {}

    def preview(self, name: str, filters: list[str], again: bool) -> Preview:
        """What a replay would send. Nothing changes. Raises ReplayError: no such source."""
        replay = Replay(catalog_at(self._stage).named(name), filters, again)
        items: list[Item] = []
        count, would, more = 0, 0, False
        with closing(replay.preview()) as found:
            for item, wanted in found:
                if count == LOOKED_AT:
                    more = True
                    break
                count, would = count + 1, would + wanted
                if len(items) < SHOWN:
                    items.append(Item(tuple(item.lines()), wanted))
        return Preview(replay, items, count, would, more)

    def ask(self, name: str, filters: list[str], again: bool) -> Asked:
        """Ask for a replay the first time."""
        preview, now = self.preview(name, filters, again), time.monotonic()
        self._asked = {id: asked for id, asked in self._asked.items() if asked.until > now}
        asked = Asked(secrets.token_urlsafe(16), preview, now + ASKED_SECONDS)
        self._asked[asked.id] = asked
        return asked

    def start(self, id: str, typed: str) -> Running:
        """Start a replay that was asked for, once.

        Raises:
            NotFound: it was not asked for, was started already, or was asked for too long ago.
            BadInput: what was typed is not the source's name.
        """
        asked = self._asked.get(id)
        if asked is None or asked.until <= time.monotonic():
            raise NotFound.of("replay", "one that was asked for and not started yet", "none")
        name = asked.preview.replay.source.name
        if typed.strip() != name:
            raise BadInput.of("name", name, repr(typed[:80]))
        if self._asked.pop(id, None) is None:  # a double click
            raise NotFound.of("replay", "one that is not started yet", "one that is")
        running = Running(run_of(self._stage, asked.preview.replay, VIA))
        self._running[running.run.id] = running
        running.thread = threading.Thread(target=running.follow, daemon=True)
        running.thread.start()
        return running

    def find(self, id: str) -> Running:
        """A replay that was started. Raises NotFound."""
        if id not in self._running:
            raise NotFound.of("replay", "one that this console started", repr(id[:40]))
        return self._running[id]

    def stop(self) -> None:
        """Let the replays that are running stop after their present step."""
        for running in self._running.values():
            running.stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for running in self._running.values():
            if running.thread is not None:
                running.thread.join(max(0.0, deadline - time.monotonic()))
