"""The latest prediction of each entity, from a stream or a batch run, for online readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from quintet.columns import json_rows
from quintet.contract import Contract
from quintet.scoring import Scores
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["Latest", "LatestScores", "MemoryLatest", "latest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The last prediction of an entity in a batch.

    `entity` is the value of the field `entity_key`; `outputs` are those of one row in the API's
    records form, with `fallback` if the contract has a fallback rule; `arrived` is the record's
    arrival, or the start of the run that scored it, in epoch seconds.
    """

    model: str
    entity_key: str
    entity: str
    outputs: dict[str, Any]
    version: int
    arrived: float
    sequence: str
    source: str = "stream"

    @property
    def order(self) -> tuple[float, int]:
        """The order of two predictions."""
        return self.arrived, int(self.sequence)


class LatestScores(Protocol):
    """The store of the latest predictions."""

    def put(self, found: Sequence[Latest]) -> int:
        """Store the predictions that are later than the stored ones; the number stored.

        Raises:
            Transient: some may be stored and others not; storing all of them again is safe.
        """
        ...


class MemoryLatest:
    """The latest predictions in memory, by model, entity key and entity."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str, str], Latest] = {}

    def put(self, found: Sequence[Latest]) -> int:
        """See `LatestScores.put`."""
        newer = 0
        for one in found:
            key = one.model, one.entity_key, one.entity
            if key not in self.stored or self.stored[key].order < one.order:
                self.stored[key] = one
                newer += 1
        return newer

    def get(self, model: str, entity_key: str, entity: str, now: float) -> Latest | None:
        """See `quintet.api.scores.ScoreReader`."""
        return self.stored.get((model, entity_key, entity))


def latest(
    contract: Contract,
    versions: NDArray[np.int64],
    model_rows: ModelRows,
    scores: Scores,
    shard_batch: ShardBatch,
) -> list[Latest]:
    """The last prediction of each entity; empty if the contract has no entity.

    `versions` (rows,) are those that answered each row.
    """
    entities = model_rows.batch.entities
    if contract.entity is None or entities is None or not len(scores.index):
        return []
    records = model_rows.record[scores.index]
    order = np.argsort(shard_batch.arrived[records], kind="stable").tolist()
    rows = scores.index.tolist()
    last = {entities[rows[position]]: position for position in order}
    last.pop("", None)
    chosen = np.fromiter(last.values(), np.int64, len(last))
    outputs = {name: values[chosen] for name, values in scores.outputs.items()}
    objects = json_rows(contract, outputs, scores.fallback[chosen])
    return [
        Latest(
            model=contract.name,
            entity_key=contract.entity,
            entity=entity,
            outputs=values,
            version=version,
            arrived=float(shard_batch.arrived[record]),
            sequence=shard_batch.sequences[record],
        )
        for entity, record, version, values in zip(
            last,
            records[chosen].tolist(),
            versions[scores.index[chosen]].tolist(),
            map(orjson.loads, objects),
            strict=True,
        )
    ]
