"""What clients asked and were answered, with times: a history, as JSON lines."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["BOUND", "SLOW", "Anomaly", "History", "Operation", "Recorder", "read"]

#: a route is read anew every five seconds; the rest is a request's time
BOUND = 10.0
#: seconds after which a beat is slow: half of what a function waits for a route
SLOW = 0.4


@dataclass(frozen=True)
class Operation:
    """What a client did, and what it was told.

    Times are seconds of one monotonic clock. `status` is None without an answer: then it may have
    happened or not.
    """

    does: str
    by: str
    began: float
    ended: float
    status: int | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Anomaly:
    """What may not be: the rule that it breaks, and how."""

    rule: str
    text: str


class Recorder:
    """Keeps operations in memory and in a file; threads may share it."""

    def __init__(self, path: Path) -> None:
        self.operations: list[Operation] = []
        self.answered = 0
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def add(self, operation: Operation) -> Operation:
        """Keep an operation."""
        line = json.dumps(asdict(operation))
        with self._lock:
            self.operations.append(operation)
            self.answered += operation.status is not None
            self._file.write(line + "\n")
        return operation

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[Operation]:
    """The operations that a recorder wrote."""
    return [Operation(**json.loads(line)) for line in path.read_text().splitlines()]


class History:
    """Operations in the order in which they began, and what a kill of the server may have lost.

    A kill (`kill_server`) begins when the server and its environments have ended, and tells by
    `kept` when the last beat that outlived it was sent. A snapshot of the local AWS is taken
    between two calls, so whatever was answered before that moment is in it, and must hold
    afterwards; what was answered later may be gone.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = sorted(operations, key=lambda one: one.began)
        self.kills = [one for one in self.operations if one.does == "kill_server"]
        self._killed = [one.began for one in self.kills]
        self._slow = [one for one in self.operations if one.does == "slow_beat"]

    @cached_property
    def _by_kind(self) -> dict[str, list[Operation]]:
        found: dict[str, list[Operation]] = defaultdict(list)
        for one in self.operations:
            found[one.does].append(one)
        return found

    def of(self, *kinds: str) -> list[Operation]:
        """The operations of these kinds, as they began."""
        found = [one for kind in kinds for one in self._by_kind.get(kind, [])]
        return found if len(kinds) == 1 else sorted(found, key=lambda one: one.began)

    def epoch(self, operation: Operation) -> int:
        """How many servers were killed before it began."""
        return bisect_left(self._killed, operation.began)

    def holds(self, earlier: Operation, later: Operation) -> bool:
        """Whether what one was told must hold for another, which began after it had ended."""
        if earlier.ended > later.began:
            return False
        epoch = self.epoch(earlier)
        return epoch == self.epoch(later) or earlier.ended <= self.kills[epoch].told["kept"]

    def calm(self, until: Operation) -> bool:
        """Whether the store answered in time from `BOUND` before an operation to its end.

        A function goes on with the route that it has while the store does not answer, as on a
        machine that has too much to do. Beats that took long (`slow_beat`) tell.
        """
        first = until.began - BOUND
        return not any(one.began < until.ended and one.ended > first for one in self._slow)

    @property
    def last(self) -> int:
        """The epoch that no kill ended."""
        return len(self.kills)

    def stays(self, operation: Operation) -> bool:
        """Whether what it was told must hold at the end."""
        epoch = self.epoch(operation)
        return epoch == self.last or operation.ended <= self.kills[epoch].told["kept"]
