"""A backfill: one run for each partition, several at once; a repeat scores what is missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, NamedTuple, Protocol

from quintet.batch.plans import RunPaths
from quintet.batch.starts import Started
from quintet.errors import BadInput, Conflict, NotFound

__all__ = ["PartitionResult", "Runs", "backfill", "partitions"]

MAX_PARTITIONS = 10_000
#: by the length of a value: the default name of its folder, and days to the next one
_KINDS = {4: ("year", 366), 7: ("month", 31), 10: ("date", 1)}
_ENDED = ("succeeded", "failed", "refused", "stopped")


def partitions(first: str, last: str, name: str | None = None) -> list[str]:
    """Return the partitions `first` to `last`, both included: `month=2026-01`, `month=2026-02`.

    Years, months or days, in the given form: 2026, 2026-01, 2026-01-31.

    Raises:
        BadInput: they are in another form, in two forms, too many, or in reverse order.
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
        if len(found) > MAX_PARTITIONS:
            raise BadInput.of("--to", f"at most {MAX_PARTITIONS:,} partitions", "more")
    return found


def _day(option: str, text: str) -> date:
    """Return the first day of a year, month or day."""
    try:
        if len(text) not in _KINDS:
            raise ValueError
        return date.fromisoformat(text + "0001-01-01"[len(text) :])
    except ValueError:
        raise BadInput.of(option, "a time like 2026, 2026-01 or 2026-01-31", text[:20]) from None


class PartitionResult(NamedTuple):
    """How a partition ended; `run` is empty if it had no files to score."""

    partition: str
    run: str
    status: str
    detail: str

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class Runs(Protocol):
    """The runs of a stage, which a backfill starts and follows."""

    def start(self, partition: str) -> Started:
        """Start the run of a partition. Raises BadInput if it has no files."""
        ...

    def redrive(self, folder: RunPaths) -> None:
        """Redrive a run. Raises Conflict if it is running, or has succeeded."""
        ...

    def show(self, folder: RunPaths) -> dict[str, Any]:
        """See `quintet.batch.run_status.show`."""
        ...


def backfill(
    wanted: Sequence[str], runs: Runs, at_once: int, wait: Callable[[], None]
) -> Iterator[PartitionResult]:
    """Run partitions, at most `at_once` at a time; yields each one's result as it ends.

    Runs that have succeeded are skipped, a run in progress is followed to its end, failed and
    stopped runs are redriven.

    Raises:
        NotFound: the model or version does not exist.
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
                yield PartitionResult(partition, "", "not started", str(error))
        for partition, folder in list(going.items()):
            found = runs.show(folder)
            if found["status"] in _ENDED:
                del going[partition]
                yield PartitionResult(partition, folder.run, found["status"], _detail(found))
        if going:
            wait()


def _begin(partition: str, runs: Runs) -> RunPaths:
    folder, new = runs.start(partition)
    if not new and runs.show(folder)["status"] != "succeeded":
        with suppress(Conflict):  # it is running
            runs.redrive(folder)
    return folder


def _detail(found: dict[str, Any]) -> str:
    if found["cause"]:
        return str(found["cause"])
    counts = found["counts"]
    return f"{counts['scored']:,} scored + {counts['quarantined']:,} quarantined"
