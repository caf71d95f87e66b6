"""Messages of the notify queue, and the webhook events that alert and run messages contain.

A message is JSON and names its `type`. A `job` message refers to its job (`JobEvent`). Other
messages contain the event itself, because `notify` retries for a day: meanwhile an entity's next
alert replaces the stored one, and the run's state machine ends.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from quintet.errors import BadInput
from quintet.streaming.alert import Alert, content, of_content

__all__ = [
    "MessageType",
    "WebhookEvent",
    "WebhookMessage",
    "alert_webhook_id",
    "message_type",
    "webhook_event",
]

MessageType = Literal["job", "alert", "run"]

#: longest text, in characters; enough for a cause with 10 refusals. Standard Webhooks advises
#: payloads of at most 20 kB
MAX_TEXT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """An event to post to an endpoint. `subject` identifies its job, alert or run.

    `webhook_id` and `body` are the same for every attempt and every duplicate; `at` is when the
    event happened (epoch seconds). `traceparent` is the W3C context of a run.
    """

    type: MessageType
    subject: str
    model: str
    endpoint: str
    webhook_id: str
    body: bytes
    at: float
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """An alert and the registered endpoint to post it to."""

    alert: Alert
    endpoint: str

    def message(self) -> str:
        """The message's body."""
        # the previous release recognises an alert by its first key
        return json.dumps(
            {"alert": content(self.alert), "endpoint": self.endpoint, "type": "alert"}
        )


def message_type(body: str) -> MessageType:
    """The type of a message.

    Raises:
        BadInput: the message has no known type.
    """
    return _typed(body)[0]


def webhook_event(body: str) -> WebhookEvent:
    """The event in the message of an alert or a run.

    Raises:
        BadInput: the message is not one of these.
    """
    kind, message = _typed(body)
    if kind == "alert":
        return _alert_event(message)
    if kind == "run":
        return _run_event(message)
    raise BadInput.of("type", "alert or run", kind)


def alert_webhook_id(alert: Alert) -> str:
    """The `webhook-id` of an alert.

    It is a digest, because stream names may contain the full stops that delimit signed content.
    """
    return f"alert_{hashlib.sha256(alert.id.encode()).hexdigest()[:32]}"


def _typed(body: str) -> tuple[MessageType, dict[str, Any]]:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        match found.get("type") or _type_by_key(found):
            case "job" | "alert" | "run" as kind:
                return kind, found
    raise BadInput.of("message", "the type job, alert or run", "something else")


def _type_by_key(message: dict[str, Any]) -> str | None:
    """The type of a message from a release whose messages did not name it.

    0.1 reads messages that an older deployment left in the queue. Delete this function, and its
    test, in 0.2: SQS keeps messages for at most 14 days.
    """
    return next((kind for kind in ("job", "alert", "run") if kind in message), None)


def _alert_event(message: dict[str, Any]) -> WebhookEvent:
    try:
        alert, endpoint = of_content(message["alert"]), str(message["endpoint"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput.of("message", "an alert and an endpoint", "something else") from None
    data = content(alert)  # below 20 kB, because its texts are bounded
    return WebhookEvent(
        type="alert",
        subject=alert.id,
        model=alert.model,
        endpoint=endpoint,
        webhook_id=alert_webhook_id(alert),
        body=orjson.dumps({"type": "alert.raised", "timestamp": data["at"], "data": data}),
        at=alert.at,
    )


def _run_event(message: dict[str, Any]) -> WebhookEvent:
    """The event of a run that ended; the state machine sends `run` as returned by report_run."""
    try:
        run = dict(message["run"])
        execution, endpoint = str(message["execution"]), str(message["endpoint"])
        finished, status = str(run.pop("finished")), str(run["status"])
        at = datetime.fromisoformat(finished).timestamp()
        run["cause"] = str(run["cause"])[:MAX_TEXT]
        run.pop("callback", None)
        traceparent = str(run.pop("traceparent", ""))
        model = str(run["model"])
    except (ValueError, KeyError, TypeError):
        raise BadInput.of("message", "the end of a run and an endpoint", "another") from None
    # Step Functions does not preserve field order: sorting makes the body of duplicates the same
    body = {"type": f"run.{status}", "timestamp": finished, "data": run}
    return WebhookEvent(
        type="run",
        subject=f"run/{execution}",
        model=model,
        endpoint=endpoint,
        # the execution's id: a redriven run ends again, which is a new event
        webhook_id=f"run_{execution}",
        body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
        at=at,
        traceparent=traceparent,
    )
