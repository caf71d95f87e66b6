"""Predictions beyond their contract's threshold, and their alerts."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import AlertRule, Contract
from quintet.scoring import Scores
from quintet.streaming.alert import Alert, bounded
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["PastThreshold", "past_threshold"]


@dataclass(slots=True)
class PastThreshold:
    """The predictions of one model's rows that are beyond its threshold.

    `versions` (rows,) are those that answered each row. `positions` are their positions in the
    scores, by entity, in the order of the shard.
    """

    contract: Contract
    versions: NDArray[np.int64]
    model_rows: ModelRows
    scores: Scores
    shard_batch: ShardBatch
    positions: dict[str, list[int]] = field(default_factory=dict)

    def place(self, position: int) -> tuple[int, int]:
        """The record of a prediction, by its position in the batch, and the row within it."""
        row = self.scores.index[position]
        return int(self.model_rows.record[row]), int(self.model_rows.row[row])

    def alert(self, rule: AlertRule, entity: str, position: int) -> Alert:
        """The alert for a prediction."""
        record, row = self.place(position)
        sequence = self.shard_batch.sequences[record]
        given = _last_column(self.scores.outputs[rule.output])[position]
        value = float(str(given))  # 0.1 for a float32, not 0.10000000149011612
        over = rule.above is not None and bool(given > rule.above)
        return Alert(
            id=f"{self.shard_batch.shard}/{sequence}/{row}",
            model=self.contract.name,
            version=int(self.versions[self.scores.index[position]]),
            entity=entity,
            entity_key=self.contract.entity,
            output=rule.output,
            value=value,
            above=rule.above if over else None,
            below=None if over else rule.below,
            fallback=bool(self.scores.fallback[position]),
            cooldown=rule.cooldown,
            at=float(self.shard_batch.arrived[record]),
            shard=self.shard_batch.shard,
            sequence=sequence,
            row=row,
        )


def past_threshold(
    contract: Contract,
    versions: NDArray[np.int64],
    model_rows: ModelRows,
    scores: Scores,
    shard_batch: ShardBatch,
) -> PastThreshold:
    """The predictions beyond the contract's threshold; empty if it has no alert."""
    made = PastThreshold(contract, versions, model_rows, scores, shard_batch)
    rule = contract.alert
    if rule is None or rule.output not in scores.outputs:
        return made
    past = _past(rule, _last_column(scores.outputs[rule.output]))
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position in np.flatnonzero(past).tolist():
        positions[_entity(model_rows, scores, shard_batch, position)].append(position)
    made.positions = dict(positions)
    return made


def _past(rule: AlertRule, values: Array) -> NDArray[np.bool_]:
    """Whether each value is finite and beyond the threshold, in the output's precision."""
    past = np.zeros(len(values), dtype=np.bool_)
    with np.errstate(over="ignore"):
        if rule.above is not None:
            past |= values > rule.above
        if rule.below is not None:
            past |= values < rule.below
    return past & np.isfinite(values)


def _last_column(values: Array) -> Array:
    """The last column of an output, (rows,)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))[:, -1]


def _entity(model_rows: ModelRows, scores: Scores, shard_batch: ShardBatch, position: int) -> str:
    """The subject of an alert: the row's entity, else the record's partition key."""
    row = scores.index[position]
    entity = model_rows.batch.entities[row] if model_rows.batch.entities else ""
    return bounded(entity or shard_batch.keys[model_rows.record[row]])
