"""Alerts: predictions past the threshold, told once an entity and cool-down.

What was told last is kept by model and entity, and replaced conditionally before an alert is sent:
of two who find one at the same time one alone replaces it. It is marked when it was sent, and an
alert that is met unmarked is sent again: at least once, under one id.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Alert as Rule
from quintet.contract import Contract
from quintet.errors import Transient
from quintet.scoring import Scores
from quintet.streaming.alert import Alert, bounded
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertNotifier",
    "AlertState",
    "Counts",
    "Found",
    "LastAlert",
    "MemoryAlertChannel",
    "MemoryAlertState",
    "found",
]

#: how often an entity's last alert may change between a read and a write
TRIES = 5


@dataclass(frozen=True, slots=True)
class LastAlert:
    """The last alert of an entity, and whether it was sent."""

    alert: Alert
    sent: bool = False


class AlertState(Protocol):
    """Where the last alert of each entity is kept."""

    def last(self, model: str, entity: str) -> LastAlert | None:
        """The last alert of an entity, as it is now. Raises Transient."""
        ...

    def put(self, alert: Alert, before: LastAlert | None) -> bool:
        """Store an alert that is not sent yet over `before`; False where another one stands there.

        Raises:
            Transient: it may be stored or not.
        """
        ...

    def sent(self, alert: Alert) -> None:
        """Mark an alert as sent, where it still is the last one. Raises Transient."""
        ...


class AlertChannel(Protocol):
    """Where alerts are sent."""

    def send(self, alert: Alert) -> None:
        """Send an alert.

        Raises:
            Transient: it may have been sent or not.
        """
        ...


class MemoryAlertState:
    """The last alerts in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], LastAlert] = {}
        self._lock = threading.Lock()

    def last(self, model: str, entity: str) -> LastAlert | None:
        """See `AlertState.last`."""
        return self.stored.get((model, entity))

    def put(self, alert: Alert, before: LastAlert | None) -> bool:
        """See `AlertState.put`."""
        key = alert.model, alert.entity
        with self._lock:
            stands = self.stored.get(key)
            if (stands and stands.alert.id) != (before and before.alert.id):
                return False
            self.stored[key] = LastAlert(alert)
            return True

    def sent(self, alert: Alert) -> None:
        """See `AlertState.sent`."""
        key = alert.model, alert.entity
        with self._lock:
            if (stands := self.stored.get(key)) and stands.alert.id == alert.id:
                self.stored[key] = replace(stands, sent=True)


class MemoryAlertChannel:
    """Alerts that were sent, in memory."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def send(self, alert: Alert) -> None:
        """See `AlertChannel.send`."""
        self.alerts.append(alert)


@dataclass(slots=True)
class Counts:
    """How many alerts were raised, held back by a cool-down, and sent though raised before."""

    raised: int = 0
    suppressed: int = 0
    resent: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.raised + other.raised,
            self.suppressed + other.suppressed,
            self.resent + other.resent,
        )


@dataclass(slots=True)
class Found:
    """The predictions of one model's rows that are past its threshold.

    `positions` are theirs in the scores, by entity, each entity's in the order of the shard.
    """

    contract: Contract
    version: int
    model_rows: ModelRows
    scores: Scores
    shard_batch: ShardBatch
    positions: dict[str, list[int]] = field(default_factory=dict)

    def place(self, position: int) -> tuple[int, int]:
        """The record of a prediction, by its position in the batch, and the row within."""
        row = self.scores.index[position]
        return int(self.model_rows.record[row]), int(self.model_rows.row[row])

    def alert(self, rule: Rule, entity: str, position: int) -> Alert:
        """The alert that a prediction is."""
        record, row = self.place(position)
        sequence = self.shard_batch.sequences[record]
        given = _last_column(self.scores.outputs[rule.output])[position]
        value = float(str(given))  # of a float32 0.1, not 0.10000000149011612
        over = rule.above is not None and bool(given > rule.above)
        return Alert(
            id=f"{self.shard_batch.shard}/{sequence}/{row}",
            model=self.contract.name,
            version=self.version,
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


def found(
    contract: Contract, version: int, model_rows: ModelRows, scores: Scores, shard_batch: ShardBatch
) -> Found:
    """The predictions past the contract's threshold; none where it has no alert."""
    made = Found(contract, version, model_rows, scores, shard_batch)
    rule = contract.alert
    if rule is None or rule.output not in scores.outputs:
        return made
    past = _past(rule, _last_column(scores.outputs[rule.output]))
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position in np.flatnonzero(past).tolist():
        positions[_entity(model_rows, scores, shard_batch, position)].append(position)
    made.positions = dict(positions)
    return made


class AlertNotifier:
    """Raises alerts; `threads` is for how many entities at a time."""

    def __init__(
        self, state: AlertState, channels: Sequence[AlertChannel], *, threads: int = 1
    ) -> None:
        self._state = state
        self._channels = channels
        self._threads = threads

    def raise_all(self, found: Found) -> Counts:
        """Raise what is to be raised of what was found.

        Raises:
            Transient: some could not be; done again, what was sent is not sent again.
        """
        entities = list(found.positions)
        if self._threads == 1 or len(entities) < 2:
            return sum((self._entity(found, entity) for entity in entities), Counts())
        with ThreadPoolExecutor(min(self._threads, len(entities))) as pool:
            return sum(pool.map(lambda entity: self._entity(found, entity), entities), Counts())

    def _entity(self, found: Found, entity: str) -> Counts:
        """One entity's alerts, each decided on what the one before has left."""
        rule = found.contract.alert
        assert rule is not None
        counts = Counts()
        last = self._met(found, entity, counts)
        for position in found.positions[entity]:
            for _ in range(TRIES):
                verdict = _verdict(found, position, last)
                if verdict != "due":
                    break
                alert = found.alert(rule, entity, position)
                if self._state.put(alert, last):
                    self._send(alert)
                    last = LastAlert(alert, sent=True)
                    counts.raised += 1
                    break
                last = self._met(found, entity, counts)
            else:
                raise Transient("an entity's alert changes too fast")
            counts.suppressed += verdict == "held back"
        return counts

    def _met(self, found: Found, entity: str, counts: Counts) -> LastAlert | None:
        """The entity's last alert; one that was not sent, as its raiser was cut off, is now."""
        last = self._state.last(found.contract.name, entity)
        if last is None or last.sent:
            return last
        self._send(last.alert)
        counts.resent += 1
        return replace(last, sent=True)

    def _send(self, alert: Alert) -> None:
        for channel in self._channels:
            channel.send(alert)
        self._state.sent(alert)


def _verdict(
    found: Found, position: int, last: LastAlert | None
) -> Literal["due", "held back", "known"]:
    """What becomes of a prediction past the threshold, after the last alert of its entity."""
    assert found.contract.alert is not None
    if last is None:
        return "due"
    record, row = found.place(position)
    here, there = found.shard_batch, last.alert
    place = int(here.sequences[record]), row
    if there.shard == here.shard and place <= (int(there.sequence), there.row):
        return "known"  # an earlier try has decided it
    quiet = here.arrived[record] < there.at + found.contract.alert.cooldown
    return "held back" if quiet else "due"


def _past(rule: Rule, values: Array) -> NDArray[np.bool_]:
    """Whether each value is past the threshold, compared in the output's own precision."""
    past = np.zeros(len(values), dtype=np.bool_)
    with np.errstate(over="ignore"):
        if rule.above is not None:
            past |= values > rule.above
        if rule.below is not None:
            past |= values < rule.below
    return past


def _last_column(values: Array) -> Array:
    """The last column of an output, (rows,)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))[:, -1]


def _entity(model_rows: ModelRows, scores: Scores, shard_batch: ShardBatch, position: int) -> str:
    """Whom an alert is about: the row's entity, else the record's partition key."""
    row = scores.index[position]
    entity = model_rows.batch.entities[row] if model_rows.batch.entities else ""
    return bounded(entity or shard_batch.keys[model_rows.record[row]])
