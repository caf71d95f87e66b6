"""Rows with an id of their own: what a producer sends again is scored once.

A producer that gets no reply puts its record again: the same row arrives with another sequence
number. A row with an id, of which another row was scored within `RETENTION_SECONDS`, is a
repeat. Which rows were scored with an id is stored per shard, before the shard's checkpoint moves
past them. So it depends on the shard's records alone, however they are batched and however often
they are delivered: the rows up to the checkpoint, less those that were not scored. A producer
repeats a record with its partition key, which leads to the same shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.streaming.model_rows import Decoded, ModelRows, ShardBatch
from quintet.streaming.sequences import padded

__all__ = [
    "RETENTION_SECONDS",
    "IdentifiedRows",
    "MemoryScoredIds",
    "RepeatedRows",
    "ScoredIds",
    "joined",
    "repeats",
]

#: how long after a row another one of its id is a repeat; by arrival
RETENTION_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class IdentifiedRows:
    """Rows with an id, all (rows,): hashes of model and id, hashes of the place.

    A place is a record's sequence number and the number of the row in it. `arrived` is in epoch
    seconds.
    """

    ids: NDArray[np.uint64]
    places: NDArray[np.uint64]
    arrived: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> IdentifiedRows:
        """Some of the rows."""
        return IdentifiedRows(self.ids[chosen], self.places[chosen], self.arrived[chosen])


NO_ROWS = IdentifiedRows(
    np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.float64)
)


class ScoredIds(Protocol):
    """The store of the rows that were scored with an id, by shard."""

    def read(self, shard: str, done: str, since: float) -> IdentifiedRows:
        """The rows up to the sequence `done` that arrived at `since` or later, sorted by id.

        Others may be among them. Raises Transient.
        """
        ...

    def add(self, shard: str, last: str, rows: IdentifiedRows) -> None:
        """Store the rows of records up to the sequence `last`; idempotent. Raises Transient."""
        ...


class MemoryScoredIds:
    """The store in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], IdentifiedRows] = {}

    def read(self, shard: str, done: str, since: float) -> IdentifiedRows:
        """See `ScoredIds.read`."""
        return joined(
            [
                rows
                for (name, last), rows in self.stored.items()
                if name == shard and last <= done and rows.arrived.max() >= since
            ]
        )

    def add(self, shard: str, last: str, rows: IdentifiedRows) -> None:
        """See `ScoredIds.add`."""
        self.stored[shard, last] = rows


def joined(parts: Sequence[IdentifiedRows]) -> IdentifiedRows:
    """All rows of several parts, sorted by id: as good as merged, if the parts are sorted."""
    whole = IdentifiedRows(
        np.concatenate([NO_ROWS.ids, *(part.ids for part in parts)]),
        np.concatenate([NO_ROWS.places, *(part.places for part in parts)]),
        np.concatenate([NO_ROWS.arrived, *(part.arrived for part in parts)]),
    )
    return whole.at(np.argsort(whole.ids, kind="stable"))


class RepeatedRows:
    """The rows of one invocation that repeat others: by what was scored before, and in it."""

    def __init__(self, shard_batch: ShardBatch, by_model: Sequence[ModelRows]) -> None:
        self._shard_batch = shard_batch
        self._rows = {
            model_rows.contract.name: _identified(model_rows, shard_batch)
            for model_rows in by_model
            if model_rows.batch.ids is not None
        }
        self._before, self._scored = NO_ROWS, list[IdentifiedRows]()

    @classmethod
    def read(
        cls, store: ScoredIds, shard_batch: ShardBatch, decoded: Decoded, done: str
    ) -> RepeatedRows:
        """The rows of a decoded batch, of which those up to the sequence `done` are processed.

        Without ids nothing is read. Raises Transient.
        """
        found = cls(shard_batch, [model_rows for _, model_rows in decoded.by_model])
        if found._rows and done:
            since = float(shard_batch.arrived.min()) - RETENTION_SECONDS
            found._before = store.read(shard_batch.shard, done, since)
        return found

    def of(self, model_rows: ModelRows) -> NDArray[np.bool_]:
        """Which rows of a model have the id of another one that was scored, (rows,)."""
        mask = np.zeros(model_rows.batch.rows, dtype=np.bool_)
        if model_rows.contract.name in self._rows:
            positions, rows = self._rows[model_rows.contract.name]
            scored = joined([self._before, *self._scored]) if self._scored else self._before
            mask[positions] = repeats(rows, scored)
        return mask

    def within(self, model_rows: ModelRows, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions in `index`, which is of rows, of those with the id of an earlier one."""
        if model_rows.contract.name not in self._rows:
            return np.empty(0, dtype=np.int64)
        positions, rows = self._rows[model_rows.contract.name]
        places = np.flatnonzero(np.isin(index, positions))
        rows = rows.at(np.searchsorted(positions, index[places]))
        if len(np.unique(rows.ids)) == len(rows):
            return places[:0]
        last: dict[int, float] = {}
        again = []
        for place, own, arrived in zip(places, rows.ids.tolist(), rows.arrived, strict=True):
            if arrived - last.get(own, -np.inf) <= RETENTION_SECONDS:
                again.append(place)
            else:
                last[own] = arrived
        return np.array(again, dtype=np.int64)

    def add(self, model_rows: ModelRows, index: NDArray[np.int64]) -> None:
        """Add rows of a model that are scored, by position."""
        if model_rows.contract.name in self._rows:
            positions, rows = self._rows[model_rows.contract.name]
            self._scored.append(rows.at(np.isin(positions, index)))

    def store(self, store: ScoredIds) -> None:
        """Store the scored rows, as those of records up to the last of the invocation.

        Raises:
            Transient: they may be stored or not.
        """
        scored = joined(self._scored)
        if len(scored):
            shard, last = self._shard_batch.shard, self._shard_batch.sequences[-1]
            store.add(shard, padded(last), scored)


def _identified(
    model_rows: ModelRows, shard_batch: ShardBatch
) -> tuple[NDArray[np.int64], IdentifiedRows]:
    """The positions of a model's rows that have an id, and these rows."""
    ids = model_rows.batch.ids or []
    positions = [position for position, found in enumerate(ids) if found is not None]
    model = f"{model_rows.contract.name}\0"
    records, rows = model_rows.record[positions], model_rows.row[positions]
    places = zip(records.tolist(), rows.tolist(), strict=True)
    return np.array(positions, dtype=np.int64), IdentifiedRows(
        _hashes([f"{model}{ids[position]}" for position in positions]),
        _hashes([f"{shard_batch.sequences[record]}/{row}" for record, row in places]),
        shard_batch.arrived[records],
    )


def repeats(rows: IdentifiedRows, scored: IdentifiedRows) -> NDArray[np.bool_]:
    """Which rows have the id of a scored row at another place, not more than the retention away.

    `scored` are sorted by id.
    """
    found = np.zeros(len(rows), dtype=np.bool_)
    if not len(scored) or not len(rows):
        return found
    at = np.searchsorted(scored.ids, rows.ids, "left")
    end = np.searchsorted(scored.ids, rows.ids, "right")
    # an id has one scored row, or a few, which arrived a retention apart
    for _ in range(int((end - at).max())):
        here = np.minimum(at, len(scored) - 1)
        near = np.abs(rows.arrived - scored.arrived[here]) <= RETENTION_SECONDS
        found |= (at < end) & near & (scored.places[here] != rows.places)
        at += 1
    return found


def _hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """64-bit hashes: of a million ids, two have the same one with a probability of 3e-8."""
    whole = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(whole, dtype=np.uint64)
