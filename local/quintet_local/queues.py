"""Make moto's SQS safe and fast when several clients receive, send and delete at once.

moto counts the whole queue for each message that it returns, and on a delete replaces the list
with a copy, which can lose a message that another call has just added.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from quintet_local.newest import Handles

__all__ = ["one_at_a_time", "receives_whole", "unix_time_millis"]

#: a message may become visible without a notification: the interval of checks meanwhile
LOOK_SECONDS = 0.25


def unix_time_millis() -> float:
    """Return the current time, without moto's conversion through dates."""
    return time.time() * 1000


def one_at_a_time(change: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """Run a queue's deletion under the lock that moto uses to add messages."""

    def locked(queue: Any, handle: str) -> None:
        with queue._messages_lock:
            if not isinstance(queue.deleted_messages, Handles):
                queue.deleted_messages = Handles()
            change(queue, handle)

    return locked


def receives_whole(receive: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Replace moto's receive for standard queues, so that two calls never take the same message."""
    from moto.sqs.models import _filter_message_attributes

    def received(backend: Any, queue_name: str, *given: Any) -> list[Any]:
        queue = backend.get_queue(queue_name)
        if queue.fifo_queue:
            return receive(backend, queue_name, *given)
        count, wait, visibility, *names = given
        until = time.monotonic() + wait
        with queue._messages_lock:
            found = _taken(queue, count, visibility)
            while not found and (left := until - time.monotonic()) > 0:
                queue._messages_lock.wait(min(left, LOOK_SECONDS))
                found = _taken(queue, count, visibility)
        for message in found:
            _filter_message_attributes(message, names[0] if names else [])
        return found

    return received


def _taken(queue: Any, count: int, visibility: int) -> list[Any]:
    """Return copies of up to `count` messages, which become invisible.

    Messages that were received too often move to the dead-letter queue, and expired ones are
    deleted.
    """
    now = unix_time_millis()
    oldest = now - 1000 * queue.message_retention_period
    policy = queue.redrive_policy if queue.dead_letter_queue is not None else None
    most = int(policy["maxReceiveCount"]) if policy else None
    found: list[Any] = []
    for message in list(queue._messages):
        if len(found) == count:
            break
        if now <= message.visible_at or now < message.delayed_until:
            continue
        queue.pending_messages.discard(message)
        if message.sent_timestamp <= oldest:
            queue._messages.remove(message)
        elif most is not None and message.approximate_receive_count >= most:
            queue._messages.remove(message)
            queue.dead_letter_queue.add_message(message)
        else:
            queue.pending_messages.add(message)
            message.mark_received(visibility_timeout=visibility)
            found.append(copy.deepcopy(message))
    return found
