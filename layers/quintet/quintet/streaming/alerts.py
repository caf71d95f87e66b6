"""Alerts: predictions beyond the threshold, sent once per entity and cool-down.

The last alert is stored by model and entity, and replaced conditionally before the next is sent:
if two invocations raise one at the same time, only one replaces it. An alert is marked after it was
sent, and an unmarked alert is sent again: delivery is at least once, with the same id.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from quintet.errors import Transient
from quintet.streaming.alert import Alert
from quintet.streaming.thresholds import PastThreshold

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertCounts",
    "AlertNotifier",
    "AlertState",
    "LastAlert",
    "MemoryAlertChannel",
    "MemoryAlertState",
]

#: how often an entity's last alert may change between a read and a write
TRIES = 5


@dataclass(frozen=True, slots=True)
class LastAlert:
    """The last alert of an entity, and whether it was sent."""

    alert: Alert
    sent: bool = False


class AlertState(Protocol):
    """The store of each entity's last alert."""

    def last(self, model: str, entity: str) -> LastAlert | None:
        """The last alert of an entity, read consistently. Raises Transient."""
        ...

    def put(self, alert: Alert, before: LastAlert | None) -> bool:
        """Replace `before` by an alert that is not sent yet; False if another one is stored.

        Raises:
            Transient: it may be stored or not.
        """
        ...

    def sent(self, alert: Alert) -> None:
        """Mark an alert as sent, if it still is the last one. Raises Transient."""
        ...


class AlertChannel(Protocol):
    """A channel that alerts are sent to."""

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
class AlertCounts:
    """How many alerts were raised, suppressed by a cool-down, and sent again."""

    raised: int = 0
    suppressed: int = 0
    resent: int = 0

    def __add__(self, other: AlertCounts) -> AlertCounts:
        return AlertCounts(
            self.raised + other.raised,
            self.suppressed + other.suppressed,
            self.resent + other.resent,
        )


class AlertNotifier:
    """Raises alerts, for `threads` entities at a time."""

    def __init__(
        self, state: AlertState, channels: Sequence[AlertChannel], *, threads: int = 1
    ) -> None:
        self._state = state
        self._channels = channels
        self._threads = threads

    def raise_all(self, found: PastThreshold) -> AlertCounts:
        """Raise the alerts that no cool-down suppresses.

        Raises:
            Transient: some could not be raised; a repeat does not send the others again.
        """
        entities, none = list(found.positions), AlertCounts()
        if self._threads == 1 or len(entities) < 2:
            return sum((self._entity(found, entity) for entity in entities), none)
        with ThreadPoolExecutor(min(self._threads, len(entities))) as pool:
            return sum(pool.map(lambda entity: self._entity(found, entity), entities), none)

    def _entity(self, found: PastThreshold, entity: str) -> AlertCounts:
        """Raise one entity's alerts in order; each depends on the one before it."""
        rule = found.contract.alert
        assert rule is not None
        counts = AlertCounts()
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

    def _met(self, found: PastThreshold, entity: str, counts: AlertCounts) -> LastAlert | None:
        """The entity's last alert; if the invocation that raised it did not send it, send it
        now."""
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
    found: PastThreshold, position: int, last: LastAlert | None
) -> Literal["due", "held back", "known"]:
    """Whether to raise a prediction beyond the threshold, given the last alert of its entity."""
    assert found.contract.alert is not None
    if last is None:
        return "due"
    record, row = found.place(position)
    here, there = found.shard_batch, last.alert
    place = int(here.sequences[record]), row
    if there.shard == here.shard and place <= (int(there.sequence), there.row):
        return "known"  # an earlier attempt has decided it
    quiet = here.arrived[record] < there.at + found.contract.alert.cooldown
    return "held back" if quiet else "due"
