"""One replay of any source: filter, preview, send back, and record who did it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.batch.stores import ObjectStore
from quintet.errors import QuintetError
from quintet.replay.items import (
    Pace,
    ReplayError,
    ReplayItem,
    ReplayOutcome,
    ReplaySource,
    matching,
)

__all__ = ["Replay", "ReplayRun"]


@dataclass(frozen=True)
class Replay:
    """A caller's request to replay the items of a source that fit all filters.

    Items that were replayed before are sent only with `again`. `rate` is in items per second,
    None for the source's own rate.
    """

    source: ReplaySource
    filters: Sequence[str] = ()
    again: bool = False
    rate: float | None = None

    def wants(self, item: ReplayItem) -> bool:
        """Whether the replay would send an item."""
        return matching(self.filters)(item) and not item.stays(self.again)

    def items(self) -> Generator[ReplayItem, None, None]:
        """The items that fit the filters. Nothing changes."""
        with closing(self.source.items()) as items:
            yield from filter(matching(self.filters), items)

    def preview(self) -> Generator[tuple[ReplayItem, bool], None, None]:
        """A dry run: every item, and whether the replay would send it. Nothing changes."""
        with closing(self.source.items()) as items:
            for item in items:
                yield item, self.wants(item)


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass
class ReplayRun:
    """A running replay, with its audit record: an object of the bucket `bucket` in `store`.

    The record is written before the first item is sent, so that a killed replay leaves one, and
    again at the end. `who` identifies the caller.
    """

    replay: Replay
    store: ObjectStore
    bucket: str
    who: Mapping[str, str]
    id: str = field(default_factory=_new_id)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pace: Pace | None = None
    left: int = 0
    steps: list[ReplayOutcome] = field(default_factory=list)
    started: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def rate(self) -> float | None:
        """Items per second, None for no limit."""
        return self.replay.rate or self.replay.source.rate

    @property
    def sent(self) -> int:
        """The number of items sent so far."""
        return sum(step.sent for step in self.steps)

    @property
    def reopened(self) -> int:
        """The number of jobs reopened so far."""
        return sum(step.reopened for step in self.steps)

    @property
    def key(self) -> str:
        """The audit record's key; keys sort by time."""
        return f"audit/dlq/{self.started:%Y%m%dT%H%M%SZ}-{self.id}.json"

    @property
    def address(self) -> str:
        """The audit record's address."""
        return f"s3://{self.bucket}/{self.key}"

    def run(self) -> Generator[ReplayOutcome, None, None]:
        """Send the items back, step by step.

        Raises:
            ReplayError: the replay stopped early; the text says how many items were sent.
        """
        source = self.replay.source
        self._write("running")
        try:
            pace = self.pace or Pace(self.rate)
            for step in source.send_back(self.replay.wants, self.id, pace):
                self.left += step.left
                if step.sent:
                    self.steps.append(step)
                yield step
            self._write("done")
        except BaseException as error:
            self._write("stopped")
            if isinstance(error, QuintetError):
                raise ReplayError(
                    f"{error}; {self.sent} {source.noun} were sent, the others stay in "
                    f"{source.name}. Record: {self.address}"
                ) from error
            raise

    def _write(self, status: str) -> None:
        """Write the audit record; `status` is running, done or stopped."""
        finished = None if status == "running" else self.clock().isoformat()
        record: dict[str, Any] = {
            "replay": self.id,
            "status": status,
            "place": self.replay.source.name,
            "sent_to": self.replay.source.destination,
            "who": self.who,
            "started": self.started.isoformat(),
            "finished": finished,
            "filters": [*self.replay.filters],
            "again": self.replay.again,
            "rate": self.rate,
            "sent": [step.record for step in self.steps],
        }
        self.store.put(self.key, orjson.dumps(record, option=orjson.OPT_INDENT_2))
