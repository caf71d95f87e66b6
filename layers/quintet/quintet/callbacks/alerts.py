"""A stream's alert, called out to the stack's endpoint, as jobs' ends are to their callers'."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson

from quintet.callbacks.delivery import Attempt, Deliveries, Delivery, WebhookChannel
from quintet.callbacks.tries import come_back, tried
from quintet.streaming.alert import Alert, Callout, content

__all__ = ["AlertNotifier", "webhook_body", "webhook_id"]

CHANNEL = "webhook"


def webhook_id(alert: Alert) -> str:
    """The `webhook-id`: the same for every attempt and every duplicate.

    A digest, since a stream's name may have full stops, which delimit what is signed.
    """
    return f"alert_{hashlib.sha256(alert.id.encode()).hexdigest()[:32]}"


def webhook_body(alert: Alert) -> bytes:
    """A webhook's body, below 20 kB as all of its texts are bounded; the same for every attempt."""
    data = content(alert)
    return orjson.dumps({"type": "alert.raised", "timestamp": data["at"], "data": data})


class AlertNotifier:
    """Calls alerts out; `random` gives numbers in [0, 1), `tell` is told of every attempt."""

    def __init__(
        self,
        deliveries: Deliveries,
        channel: WebhookChannel,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        tell: Callable[[Callout, Delivery], None],
    ) -> None:
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
        callout = Callout.read(message)
        alert = callout.alert

        def send(now: float) -> Attempt:
            return self._channel.post(callout.endpoint, webhook_id(alert), webhook_body(alert), now)

        delivery, fresh = tried(
            self._deliveries,
            alert.id,
            CHANNEL,
            send,
            first=receives == 1,
            clock=self._clock,
            random=self._random,
        )
        if fresh:
            self._tell(callout, delivery)
        return come_back([delivery], self._clock())
