"""The result of a unit that crashed without one: Lambda's error, and the row group at fault."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from quintet.batch.inputs import sources_from, with_constants
from quintet.batch.plans import Plan, Unit, dump
from quintet.batch.stores import (
    ConditionalObjects,
    InputBucket,
    ObjectStore,
    PinnedSource,
    swapped,
)
from quintet.contract import Contract
from quintet.formats.crashes import first_crash
from quintet.formats.readers import read_slice
from quintet.formats.sources import Layout, Slice

__all__ = ["crash_reason", "note_crash"]

TIMED_OUT = re.compile(r"timed out after ([0-9.]+) seconds")
SIGNAL = re.compile(r"signal: ([a-z ]+)")
STATUS = re.compile(r"exit status ([0-9]+)")


class _Group(NamedTuple):
    """A row group of one of a unit's files, with the details to read it."""

    contract: Contract
    file: PinnedSource
    layout: Layout
    number: int


def crash_reason(failure: Mapping[str, Any]) -> str:
    """Explain why a unit has no result, from the `Error` and `Cause` that Step Functions caught.

    Lambda's errors: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-execution.html
    """
    error, cause = str(failure.get("Error", "")), str(failure.get("Cause", ""))
    if found := TIMED_OUT.search(cause):
        return f"it timed out after {float(found[1]):g} seconds"
    if error in ("Sandbox.Timedout", "States.Timeout"):
        return "it timed out"
    if error == "Runtime.OutOfMemory" or "signal: killed" in cause:
        return "it ran out of memory: its process was killed"
    if found := SIGNAL.search(cause):
        return f"its process crashed (signal: {found[1].strip()})"
    if found := STATUS.search(cause):
        return f"its process ended with exit status {found[1]}"
    return f"it was ended by the error {error[:80] or 'of no name'}"


def note_crash(
    unit: Unit,
    plan: Plan,
    failure: Mapping[str, Any],
    *,
    contract: Callable[[], Contract],
    inbox: InputBucket,
    store: ObjectStore,
    cells: ConditionalObjects,
) -> dict[str, Any]:
    """Store and return the result of a crashed unit, unless it has one by then.

    If a signal ended its process, its row groups are read again, one by one, in a child process.
    Meanwhile an attempt that was given up may score it.

    Raises:
        Transient: a store could not be read.
    """
    key = plan.folder.result(unit.unit)
    if stored := store.get(key):
        known: dict[str, Any] = orjson.loads(stored)
        return known
    reason = crash_reason(failure)
    if reason.startswith("its process crashed"):
        reason = _crashing_group(unit, plan, contract(), inbox, store) or reason
    result = {
        "status": "failed",
        "reason": reason,
        "scored": 0,
        "quarantined": 0,
        "unit": unit.unit,
        "first_row": unit.first_row,
        "rows": unit.rows,
    }
    found: dict[str, Any] = orjson.loads(swapped(cells, key, dump(result), None))
    return found


def _crashing_group(
    unit: Unit, plan: Plan, contract: Contract, inbox: InputBucket, store: ObjectStore
) -> str | None:
    """Describe the row group that ends the reader's process."""
    groups = _groups(unit, plan, contract, inbox, store)

    def read(step: int) -> None:
        group = groups[step]
        part = Slice(group.number, group.number + 1, 0, 0)
        for piece in read_slice(group.contract, group.file, group.layout, part, 1):
            chunk = piece()
            for row in range(chunk.size):
                chunk.original(row)

    crash = first_crash(read, len(groups))
    if crash is None:
        return None
    group = groups[crash.step]
    name = signal.Signals(crash.signal).name
    return (
        f"{group.file.snapshot.key}: row group {group.number}: the reader crashed ({name}); "
        "the file is damaged there"
    )


def _groups(
    unit: Unit, plan: Plan, contract: Contract, inbox: InputBucket, store: ObjectStore
) -> list[_Group]:
    """The row groups of a unit; none for formats other than Parquet."""
    if plan.format != "parquet":
        return []
    if plan.scope == "key":
        known = with_constants(contract, plan.constants)
        file = PinnedSource(inbox, plan.input)
        return [_Group(known, file, plan.layout, n) for n in range(unit.start, unit.end)]
    sources = sources_from(store.get(plan.inputs_key), {part.file for part in unit.slices})
    return [
        _Group(
            with_constants(contract, sources[part.file].constants),
            PinnedSource(inbox, sources[part.file].input),
            sources[part.file].layout,
            number,
        )
        for part in unit.slices
        for number in range(part.start, part.end)
    ]
