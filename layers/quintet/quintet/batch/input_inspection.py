"""Look into the files that a run's input names: each one's pinned version, layout and slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from quintet.batch.input_listing import ListedInput, constants
from quintet.batch.inputs import InputFile, of_file, with_constants
from quintet.batch.plans import REPLAY_OF, Snapshot
from quintet.batch.stores import InputBucket, PinnedSource
from quintet.contract import Contract, Scalar
from quintet.errors import BadInput, Refusal
from quintet.formats.inspection import Cut, cut, inspect

__all__ = ["MAX_NAMED", "InspectedInput", "inspect_each", "inspect_file", "inspect_one"]

T = TypeVar("T")

#: how many files are looked into at once
THREADS = 16
#: the most refusals that a refused run names
MAX_NAMED = 100


class InspectedInput(NamedTuple):
    """A file of a run, and where it may be cut."""

    file: InputFile
    cuts: list[Cut]


def inspect_one(
    contract: Contract, inbox: InputBucket, item: ListedInput, unit_bytes: int
) -> InspectedInput:
    """The only file of a run.

    The folders of a dropped file say nothing of its rows. Those of a replay do: they are the
    folders of the file that its rows came from.

    Raises:
        BadInput: it is gone, or cannot be scored.
        Transient: it could not be read.
    """
    snapshot = inbox.snapshot(item.bucket, item.key, item.version_id)
    given = constants(contract, item.key) if REPLAY_OF in snapshot.metadata else {}
    return _inspected(contract, inbox, snapshot, given, unit_bytes)


def inspect_file(
    contract: Contract, inbox: InputBucket, item: ListedInput, unit_bytes: int
) -> InspectedInput | None:
    """One of many files; None for an empty one, which has no rows in any format.

    Raises as `inspect_one` does.
    """
    if item.size == 0:
        return None
    snapshot = inbox.snapshot(item.bucket, item.key, item.version_id)
    if snapshot.size == 0:
        return None
    return _inspected(contract, inbox, snapshot, constants(contract, item.key), unit_bytes)


def inspect_each(
    items: Sequence[ListedInput], inspected: Callable[[ListedInput], T | None]
) -> list[T]:
    """What `inspected` makes of each item, several at once; None is left out.

    Raises:
        BadInput: some cannot be scored; all of them are named, but for very many.
    """

    def found(item: ListedInput) -> T | BadInput | None:
        try:
            return inspected(item)
        except BadInput as error:
            return of_file(item.key, error)

    with ThreadPoolExecutor(THREADS) as pool:
        every = list(pool.map(found, items))
    _refuse_bad([one for one in every if isinstance(one, BadInput)])
    return [one for one in every if one is not None and not isinstance(one, BadInput)]


def _inspected(
    contract: Contract,
    inbox: InputBucket,
    snapshot: Snapshot,
    constants: Mapping[str, Scalar],
    unit_bytes: int,
) -> InspectedInput:
    known = with_constants(contract, constants)
    found = inspect(known, PinnedSource(inbox, snapshot), snapshot.key)
    for name in sorted(constants.keys() & set(found.layout.columns)):
        raise BadInput.of(name, f"a column or a folder {name}=...", "both")
    cuts = cut(found, unit_bytes)
    rows = sum(part.slice.rows for part in cuts)
    file = InputFile(input=snapshot, layout=found.layout, rows=rows, constants=constants)
    return InspectedInput(file, cuts)


def _refuse_bad(bad: list[BadInput]) -> None:
    """Name all bad files; of very many, each by its first reason."""
    every = [refusal for error in bad for refusal in error.refusals]
    if len(every) > MAX_NAMED:
        every = [error.refusals[0] for error in bad]
    if len(every) > MAX_NAMED:
        others = f"{len(bad) - MAX_NAMED + 1:,}"
        more = Refusal(None, "other files", "files that can be scored", others)
        every = [*every[: MAX_NAMED - 1], more]
    if every:
        raise BadInput(every)
