"""Merge several batches of one model, so that one run scores them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quintet.columns.batch import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["copied", "layout", "merge", "take"]


def layout(batch: Batch) -> Hashable:
    """What batches must have in common to be merged: names, dtypes and shapes of the columns."""
    columns = sorted(batch.columns.items())
    parts = tuple((name, column.dtype.str, column.shape[1:]) for name, column in columns)
    return parts, batch.entities is None


def merge(batches: Sequence[Batch]) -> Batch:
    """Concatenate batches of one layout; they are not changed.

    A refusal's row becomes its row in the merged batch.
    """
    first = batches[0]
    refusals = []
    start = 0
    for batch in batches:
        for refusal in batch.refusals:
            row = None if refusal.row is None else refusal.row + start
            refusals.append(refusal._replace(row=row))
        start += batch.rows
    # columns that are stacked in every batch stay stacked
    matrices = [names for names in first.stacked if all(names in b.stacked for b in batches)]
    others = first.columns.keys() - {name for names in matrices for name in names}
    merged = Batch(
        start,
        {name: np.concatenate([b.columns[name] for b in batches]) for name in others},
        np.concatenate([b.good for b in batches]),
        None if first.entities is None else [e for b in batches for e in b.entities or ()],
        refusals,
        absent=set.intersection(*(b.absent for b in batches)),
        ids=_ids(batches),
    )
    for names in matrices:
        merged.stacked[names] = np.concatenate([batch.stacked[names] for batch in batches])
    return merged


def take(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """Some rows of a batch, (n,) ascending positions, as one of their own; it is not changed.

    A refusal's row becomes its row in the new batch.
    """
    place = {row: position for position, row in enumerate(rows.tolist())}
    stacked = {name for names in batch.stacked for name in names}
    part = Batch(
        len(rows),
        {name: array[rows] for name, array in batch.columns.items() if name not in stacked},
        batch.good[rows],
        None if batch.entities is None else [batch.entities[row] for row in place],
        [
            refusal._replace(row=place[refusal.row])
            for refusal in batch.refusals
            if refusal.row is not None and refusal.row in place
        ],
        absent=set(batch.absent),
        ids=None if batch.ids is None else [batch.ids[row] for row in place],
        known=None if batch.known is None else batch.known[rows],
    )
    for names, matrix in batch.stacked.items():
        part.stacked[names] = matrix[rows]
    return part


def _ids(batches: Sequence[Batch]) -> list[str | None] | None:
    if all(batch.ids is None for batch in batches):
        return None
    return [own for batch in batches for own in batch.ids or [None] * batch.rows]


def copied(batch: Batch) -> Batch:
    """A batch that keeps its rows, refusals and columns while the given one is scored."""
    return batch.with_(
        good=batch.good.copy(),
        refusals=list(batch.refusals),
        columns=dict(batch.columns),
        stacked=dict(batch.stacked),
    )
