"""Inspect the files of a run's input: pin each one's version, find its layout, and cut slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from quintet.batch.input_listing import ListedInput, constants
from quintet.batch.inputs import InputFile, of_file, with_constants
from quintet.batch.plans import REPLAY_OF, Snapshot
from quintet.batch.requests import header_of
from quintet.batch.stores import InputBucket, PinnedSource
from quintet.contract import Contract, Header, Scalar
from quintet.errors import BadInput, Refusal
from quintet.formats.inspection import Cut, cut, inspect

__all__ = ["HEADER", "MAX_NAMED", "InspectedInput", "inspect_each", "inspect_file", "inspect_one"]

T = TypeVar("T")

#: number of files that are inspected in parallel
THREADS = 16
#: the object metadata that says whether a CSV has a header
HEADER = "quintet-header"
#: the maximum number of refusals that a refused run names
MAX_NAMED = 100


class InspectedInput(NamedTuple):
    """A file of a run, and the slices into which it is cut."""

    file: InputFile
    cuts: list[Cut]


def inspect_one(
    contract: Contract,
    inbox: InputBucket,
    item: ListedInput,
    unit_bytes: int,
    header: Header | None = None,
) -> InspectedInput:
    """Inspect the only file of a run; `header` is the request's.

    The folders of a dropped file give no features. Those of a replay's file do, because they are
    the folders of the file that its rows came from.

    Raises:
        BadInput: the file is gone, or cannot be scored.
        Transient: it could not be read.
    """
    snapshot = inbox.snapshot(item.bucket, item.key, item.version_id)
    given = constants(contract, item.key) if REPLAY_OF in snapshot.metadata else {}
    return _inspected(contract, inbox, snapshot, given, unit_bytes, header=header)


def inspect_file(
    contract: Contract,
    inbox: InputBucket,
    item: ListedInput,
    unit_bytes: int,
    header: Header | None = None,
) -> InspectedInput | None:
    """Inspect one of many files; None for an empty file, which has no rows in any format.

    Raises the same as `inspect_one`.
    """
    if item.size == 0:
        return None
    snapshot = inbox.snapshot(item.bucket, item.key, item.version_id)
    if snapshot.size == 0:
        return None
    given = constants(contract, item.key)
    return _inspected(contract, inbox, snapshot, given, unit_bytes, header=header)


def inspect_each(
    items: Sequence[ListedInput], inspected: Callable[[ListedInput], T | None]
) -> list[T]:
    """Apply `inspected` to all items in parallel, and drop results that are None.

    Raises:
        BadInput: some cannot be scored; it names all of them, up to a limit.
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
    *,
    header: Header | None,
) -> InspectedInput:
    known = with_constants(contract, constants)
    header = header or header_of(snapshot.metadata.get(HEADER), f"metadata {HEADER}")
    given = frozenset(constants)
    source = PinnedSource(inbox, snapshot)
    found = inspect(known, source, snapshot.key, header=header, given=given)
    keys = {contract.by_name[name].key for name in constants}
    for name in sorted(keys & set(found.layout.columns)):
        raise BadInput.of(name, f"a column or a folder {name}=...", "both")
    cuts = cut(found, unit_bytes)
    rows = sum(part.slice.rows for part in cuts)
    file = InputFile(input=snapshot, layout=found.layout, rows=rows, constants=constants)
    return InspectedInput(file, cuts)


def _refuse_bad(bad: list[BadInput]) -> None:
    """Raise the refusals of all bad files; if there are many, only each file's first refusal."""
    every = [refusal for error in bad for refusal in error.refusals]
    if len(every) > MAX_NAMED:
        every = [error.refusals[0] for error in bad]
    if len(every) > MAX_NAMED:
        others = f"{len(bad) - MAX_NAMED + 1:,}"
        more = Refusal(None, "other files", "files that can be scored", others)
        every = [*every[: MAX_NAMED - 1], more]
    if every:
        raise BadInput(every)
