"""Runs the local AWS with a clock that a file moves: python -m tests.histories.clocked FILE ...

The words behind FILE are Python and its arguments, `-m quintet_local ...`; this process becomes
that. `time.time`, `time.time_ns` and `datetime.now` are FILE's number of seconds before or behind
the machine's clock. What waits goes by the monotonic clock, as everywhere. libfaketime does the
same for any process, but fails Python's sleeps on a busy machine: its `clock_nanosleep` refuses a
moment that has passed.
"""

from __future__ import annotations

import datetime
import runpy
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

#: seconds between two looks at the file
EVERY = 0.1


class Now(Protocol):
    """A clock."""

    def time(self) -> float:
        """See `time.time`."""
        ...


class Clock:
    """The machine's clock, moved."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._time, self._time_ns = time.time, time.time_ns
        self._sleep = time.sleep
        self.seconds = int(path.read_text())

    def follow(self) -> None:
        """Move when the file says so."""
        while True:
            self._sleep(EVERY)
            self.seconds = int(self._path.read_text())

    def time(self) -> float:
        """See `time.time`."""
        return self._time() + self.seconds

    def time_ns(self) -> int:
        """See `time.time_ns`."""
        return self._time_ns() + self.seconds * 1_000_000_000


def moved(real: type[datetime.datetime], clock: Now) -> type[datetime.datetime]:
    """The class `datetime` by that clock; all its instances are of the real one."""

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real)

    class Moved(real, metaclass=Kind):  # type: ignore[valid-type, misc]
        def __new__(cls, *args: Any, **named: Any) -> Any:
            return real(*args, **named)

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return real.fromtimestamp(clock.time(), tz)

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return real.fromtimestamp(clock.time(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def fromtimestamp(cls, *args: Any, **named: Any) -> datetime.datetime:
            return real.fromtimestamp(*args, **named)

    return Moved


def main() -> None:
    """Move the clock, and become the local AWS."""
    path, _, _, module, *rest = sys.argv[1:]
    clock = Clock(Path(path))
    time.time, time.time_ns = clock.time, clock.time_ns
    datetime.datetime = moved(datetime.datetime, clock)  # type: ignore[misc]
    threading.Thread(target=clock.follow, daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
