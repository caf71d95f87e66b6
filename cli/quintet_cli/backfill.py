"""A backfill: one run for each partition, some at once; again only what is missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, NamedTuple, Protocol

from quintet.batch.run_paths import RunPaths
from quintet.batch.starts import Started
from quintet.errors import BadInput, Conflict, NotFound

__all__ = ["Outcome", "Runs", "backfill", "partitions"]

#: the most partitions of one backfill
MOST = 10_000
#: by the length of a value: the folder's name where none is given, and a day of the next one
_KINDS = {4: ("year", 366), 7: ("month", 31), 10: ("date", 1)}
_ENDED = ("succeeded", "failed", "refused", "stopped")


def partitions(first: str, last: str, name: str | None = None) -> list[str]:
    """The partitions from `first` to `last`, both included: `month=2026-01`, `month=2026-02`.

    Years, months or days, as they are written: 2026, 2026-01, 2026-01-31.

    Raises:
        BadInput: they are none of these, of two kinds, too many, or the wrong way round.
    """
    begin, end = _day("--from", first), _day("--to", last)
    if len(first) != len(last):
        raise BadInput.of("--to", f"a time written like {first}", last)
    if begin > end:
        raise BadInput.of("--to", f"{first} or later", last)
    known, days = _KINDS[len(first)]
    found = []
    while begin <= end:
        found.append(f"{name or known}={begin.isoformat()[: len(first)]}")
        begin = _day("--from", (begin + timedelta(days)).isoformat()[: len(first)])
        if len(found) > MOST:
            raise BadInput.of("--to", f"at most {MOST:,} partitions", "more")
    return found


def _day(option: str, text: str) -> date:
    """The first day of a year, month or day."""
    try:
        if len(text) not in _KINDS:
            raise ValueError
        return date.fromisoformat(text + "0001-01-01"[len(text) :])
    except ValueError:
        raise BadInput.of(option, "a time like 2026, 2026-01 or 2026-01-31", text[:20]) from None


class Outcome(NamedTuple):
    """What became of a partition; `run` is empty where there was none to start."""

    partition: str
    run: str
    status: str
    told: str

    @property
    def good(self) -> bool:
        return self.status == "succeeded"


class Runs(Protocol):
    """What a backfill asks for of a stage."""

    def start(self, partition: str) -> Started:
        """Start the run of a partition. Raises BadInput where it has no files."""
        ...

    def redrive(self, folder: RunPaths) -> None:
        """Start a run again. Raises Conflict where it has nothing to be redriven, or runs."""
        ...

    def show(self, folder: RunPaths) -> dict[str, Any]:
        """See `quintet.batch.run_status.show`."""
        ...


def backfill(
    wanted: Sequence[str], runs: Runs, at_once: int, wait: Callable[[], None]
) -> Iterator[Outcome]:
    """Run what is wanted, at most `at_once` at a time; each partition's outcome as it ends.

    A run that has succeeded before is left alone, one that was started before is waited for, one
    that has failed or was stopped is redriven.

    Raises:
        NotFound: there is no such model or version.
        Transient: a store could not be read.
    """
    left, going = deque(wanted), dict[str, RunPaths]()
    while left or going:
        while left and len(going) < at_once:
            partition = left.popleft()
            try:
                going[partition] = _begin(partition, runs)
            except NotFound:
                raise
            except BadInput as error:
                yield Outcome(partition, "", "not started", str(error))
        for partition, folder in list(going.items()):
            found = runs.show(folder)
            if found["status"] in _ENDED:
                del going[partition]
                yield Outcome(partition, folder.run, found["status"], _told(found))
        if going:
            wait()


def _begin(partition: str, runs: Runs) -> RunPaths:
    folder, new = runs.start(partition)
    if not new and runs.show(folder)["status"] != "succeeded":
        with suppress(Conflict):  # it runs: somebody else was faster
            runs.redrive(folder)
    return folder


def _told(found: dict[str, Any]) -> str:
    if found["cause"]:
        return str(found["cause"])
    counts = found["counts"]
    return f"{counts['scored']:,} scored + {counts['quarantined']:,} quarantined"
