"""Queues on the simulated clock: at least once, in no order; and what Lambda does with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.kernel import Simulation
from tests.simulation.lambdas import Answer, Function

from quintet_local.sources import sqs

__all__ = ["Queue", "QueueSource"]

#: what may become of a message, beside its being delivered
DELIVERY_KINDS = ("again", "out of order", "late")
#: of the answer of a function to Lambda
ANSWER_KINDS = ("throttled", "reply lost")


@dataclass(slots=True)
class _Message:
    name: str
    body: str
    visible: float
    receives: int = 0
    receipt: str = ""


@dataclass
class Queue:
    """A standard queue; a message received more than `most` times moves to `dead`."""

    simulation: Simulation
    name: str
    visibility: float
    most: int = 1000
    dead: list[str] = field(default_factory=list)
    messages: dict[str, _Message] = field(default_factory=dict)
    changed: Callable[[], None] = lambda: None
    sent: int = 0

    def send(self, body: str, delay: float = 0.0) -> None:
        """Send a message, which the queue may deliver twice, late, or before earlier ones."""
        fault = self.simulation.faults.at(
            f"{self.name}.deliver", self.simulation.now, DELIVERY_KINDS
        )
        kind = fault.kind if fault else ""
        if fault and kind in ("late", "out of order"):
            # out of order: some later ones overtake it
            delay += fault.seconds or 3.0
        self._put(body, delay)
        if fault and kind == "again":
            self._put(body, delay + fault.seconds)

    def _put(self, body: str, delay: float) -> None:
        self.sent += 1
        name = f"{self.name}-{self.sent}"
        self.messages[name] = _Message(name, body, self.simulation.now + delay)
        self.simulation.at(self.simulation.now + delay, self.changed)

    def receive(self, count: int) -> list[dict[str, Any]]:
        """Up to so many visible messages, as the API returns them."""
        now, found = self.simulation.now, list[dict[str, Any]]()
        for message in [one for one in self.messages.values() if one.visible <= now]:
            if message.receives >= self.most:
                del self.messages[message.name]
                self.dead.append(message.body)
                continue
            if len(found) == count:
                break
            message.receives += 1
            message.visible = now + self.visibility
            message.receipt = f"{message.name}/{message.receives}"
            self.simulation.at(message.visible, self.changed)
            found.append(_received(message))
        return found

    def next_visible(self) -> float | None:
        """When the next message becomes visible."""
        return min((one.visible for one in self.messages.values()), default=None)

    def delete(self, receipts: Iterable[str]) -> None:
        """Delete messages by receipt; an older receipt deletes as well."""
        for receipt in receipts:
            self.messages.pop(receipt.partition("/")[0], None)

    def delay(self, seconds: Mapping[str, int]) -> None:
        """See `quintet.jobs.messages.Visibility.delay`: an older receipt changes nothing."""
        for receipt, wait in seconds.items():
            message = self.messages.get(receipt.partition("/")[0])
            if message is not None and message.receipt == receipt:
                message.visible = self.simulation.now + wait
                self.simulation.at(message.visible, self.changed)


def _received(message: _Message) -> dict[str, Any]:
    return {
        "MessageId": message.name,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "Attributes": {"ApproximateReceiveCount": str(message.receives)},
    }


class QueueSource:
    """Lambda between a queue and a function: the local AWS's decisions, on the simulated clock."""

    def __init__(
        self, simulation: Simulation, queue: Queue, function: Function, config: sqs.Config
    ) -> None:
        self._simulation = simulation
        self._queue = queue
        self._function = function
        self._config = config
        self._state = sqs.Gathering()
        queue.changed = self.turn

    def turn(self) -> None:
        """Do all that can be done now."""
        now = self._simulation.now
        while True:
            state, action = sqs.decide(self._config, self._state, now)
            self._state = state
            if isinstance(action, sqs.Invoke):
                self._invoke(action.batch)
            elif isinstance(action, sqs.Receive):
                messages = self._queue.receive(action.count)
                self._state = sqs.gathered(self._state, messages, now)
                if not messages:
                    if self._state.messages:  # until the batch is due
                        self._simulation.at(now + max(0.01, action.wait), self.turn)
                    return
            else:
                return

    def _invoke(self, batch: tuple[sqs.Message, ...]) -> None:
        simulation, site = self._simulation, f"{self._function.name}.invoke"
        fault = simulation.faults.at(site, simulation.now, ANSWER_KINDS)
        event = sqs.event(batch, f"arn:aws:sqs:us-east-1:123456789012:{self._queue.name}")

        def then(answer: Answer) -> None:
            failed = bool(answer.error) or bool(fault and fault.kind == "reply lost")
            done = sqs.settled(self._config, batch, answer.payload, failed)
            self._queue.delete(message["ReceiptHandle"] for message in done)
            self._state = sqs.handled(self._state)
            self.turn()

        if fault and fault.kind == "throttled":
            simulation.at(simulation.now + 1.0, lambda: then(Answer(b"", "Throttled")))
        else:
            self._function.invoke(event, then)
