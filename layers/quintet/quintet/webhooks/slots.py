"""Limits the callbacks in flight to one endpoint, over all executions.

Without a limit, an endpoint that hangs would occupy every execution and block other callbacks.
"""

from __future__ import annotations

import threading
import uuid
from typing import Protocol

from quintet.errors import Transient

__all__ = ["EndpointBusy", "MemorySlots", "Slot", "Slots", "slots_of"]

#: seconds after which a slot is free again if its execution crashed and did not free it
SLOT_SECONDS = 30.0


class EndpointBusy(Transient):
    """The endpoint has the maximum number of callbacks in flight; no attempt was made."""


class Slot:
    """The right to send one callback to an endpoint; `holder` is unique to this slot."""

    __slots__ = ("endpoint", "holder", "number")

    def __init__(self, endpoint: str, number: int, holder: str = "") -> None:
        self.endpoint = endpoint
        self.number = number
        self.holder = holder or uuid.uuid4().hex


class Slots(Protocol):
    """The slots of all endpoints."""

    def take(self, endpoint: str, now: float) -> Slot:
        """Take a free slot of an endpoint.

        Raises:
            EndpointBusy: none is free.
            Transient: the store does not answer.
        """
        ...

    def free(self, slot: Slot) -> None:
        """Free a slot. Best effort: it expires after `SLOT_SECONDS`."""
        ...


class MemorySlots:
    """Slots in memory, `bound` for each endpoint."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._taken: dict[tuple[str, int], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str, now: float) -> Slot:
        """See `Slots.take`."""
        with self._lock:
            for number in range(self._bound):
                _, until = self._taken.get((endpoint, number), ("", 0.0))
                if until <= now:
                    slot = Slot(endpoint, number)
                    self._taken[endpoint, number] = slot.holder, now + SLOT_SECONDS
                    return slot
        raise EndpointBusy("the endpoint has as many callbacks as it may")

    def free(self, slot: Slot) -> None:
        """See `Slots.free`."""
        with self._lock:
            holder, _ = self._taken.get((slot.endpoint, slot.number), ("", 0.0))
            if holder == slot.holder:
                del self._taken[slot.endpoint, slot.number]


def slots_of(executions: int) -> int:
    """The slots of one endpoint: a quarter of the executions that send callbacks."""
    return max(1, executions // 4)
