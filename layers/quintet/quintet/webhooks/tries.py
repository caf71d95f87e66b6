"""What a message on the queue of notices asks for: tries of the channels that are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quintet.webhooks.delivery import Attempt, Deliveries, Delivery, after

__all__ = ["come_back", "tried"]


def tried(
    deliveries: Deliveries,
    subject: str,
    channel: str,
    send: Callable[[float], Attempt],
    *,
    first: bool,
    clock: Callable[[], float],
    random: Callable[[], float],
) -> tuple[Delivery, bool]:
    """What has become of a subject on a channel, after a try if one is due; whether one was.

    `first` begins anew what was given up. Raises Transient.
    """
    delivery = deliveries.get(subject, channel)
    if delivery.state == "given_up" and first:
        delivery = Delivery()
    now = clock()
    # a duplicate of the message comes early: it waits as the other does
    if delivery.state != "waiting" or delivery.next > now:
        return delivery, False
    attempt = send(now)
    delivery = after(delivery, attempt, clock(), random())
    deliveries.put(subject, channel, delivery)
    return delivery, True


def come_back(found: Sequence[Delivery], now: float) -> float | None:
    """In how many seconds a message of these is due; 0 to be a dead letter, None if all is settled.

    Zero seconds: it comes back until it is among the dead letters.
    """
    waits = [max(1.0, delivery.next - now) for delivery in found if delivery.state == "waiting"]
    if waits:
        return min(waits)
    return 0.0 if any(delivery.state == "given_up" for delivery in found) else None
