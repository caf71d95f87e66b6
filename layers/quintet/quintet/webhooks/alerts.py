"""A stream's alert, called out to the stack's endpoint, as jobs' ends are to their callers'."""

from __future__ import annotations

import hashlib

import orjson

from quintet.streaming.alert import Alert, WebhookMessage, content
from quintet.webhooks.callouts import Outgoing

__all__ = ["alert_call", "webhook_body", "webhook_id"]


def webhook_id(alert: Alert) -> str:
    """The `webhook-id`: the same for every attempt and every duplicate.

    A digest, since a stream's name may have full stops, which delimit what is signed.
    """
    return f"alert_{hashlib.sha256(alert.id.encode()).hexdigest()[:32]}"


def webhook_body(alert: Alert) -> bytes:
    """A webhook's body, below 20 kB as all of its texts are bounded; the same for every attempt."""
    data = content(alert)
    return orjson.dumps({"type": "alert.raised", "timestamp": data["at"], "data": data})


def alert_call(message: str) -> Outgoing:
    """What a message of an alert asks for.

    Raises:
        BadInput: the message is not ours.
    """
    callout = WebhookMessage.read(message)
    alert = callout.alert
    return Outgoing(
        kind="alert",
        subject=alert.id,
        model=alert.model,
        endpoint=callout.endpoint,
        webhook_id=webhook_id(alert),
        body=webhook_body(alert),
        at=alert.at,
    )
