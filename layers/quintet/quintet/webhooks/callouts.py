"""A message that holds all there is to tell: an alert, or the end of a run, for one endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quintet.webhooks.delivery import Attempt, Deliveries, Delivery, WebhookChannel
from quintet.webhooks.tries import come_back, tried

__all__ = ["CalloutNotifier", "Outgoing"]

CHANNEL = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What an endpoint is told. `subject` is what it is of, of some `kind` (`alert`, `run`).

    `webhook_id` and `body` are the same for every attempt and every duplicate; `at` is when there
    was something to tell (epoch seconds).
    """

    kind: str
    subject: str
    model: str
    endpoint: str
    webhook_id: str
    body: bytes
    at: float


class CalloutNotifier:
    """Calls out what messages hold.

    `read` reads one, `random` gives numbers in [0, 1), `tell` is told of every attempt.
    """

    def __init__(
        self,
        read: Callable[[str], Outgoing],
        deliveries: Deliveries,
        channel: WebhookChannel,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        tell: Callable[[Outgoing, Delivery], None],
    ) -> None:
        self._read = read
        self._deliveries = deliveries
        self._channel = channel
        self._clock = clock
        self._random = random
        self._tell = tell

    def __call__(self, message: str, receives: int) -> float | None:
        """Try if it is due; in how many seconds to come back, as `Notifier` says.

        Raises:
            BadInput: the message is not ours.
            Transient: a store failed; nothing is lost, it may be sent twice.
        """
        call = self._read(message)

        def send(now: float) -> Attempt:
            return self._channel.post(call.endpoint, call.webhook_id, call.body, now)

        delivery, fresh = tried(
            self._deliveries,
            call.subject,
            CHANNEL,
            send,
            first=receives == 1,
            clock=self._clock,
            random=self._random,
        )
        if fresh:
            self._tell(call, delivery)
        return come_back([delivery], self._clock())
