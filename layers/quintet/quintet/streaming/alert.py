"""One alert: a prediction beyond its contract's threshold, and the forms in which it is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "MAX_ENTITY_CHARACTERS",
    "Alert",
    "bounded",
    "content",
    "of_content",
    "sns_message",
]

MAX_ENTITY_CHARACTERS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A prediction beyond its contract's threshold.

    `id` is "<shard>/<sequence>/<row>", the same each time that record is scored. `entity` is the
    value of the record's field `entity_key`, or the record's partition key if that is None.
    `above` or `below` is the threshold that was crossed, `at` when the record arrived (epoch
    seconds), `shard` "<stream>/<shard id>", `row` the row's number within the record.
    """

    id: str
    model: str
    version: int
    entity: str
    entity_key: str | None
    output: str
    value: float
    above: float | None
    below: float | None
    fallback: bool
    cooldown: float
    at: float
    shard: str
    sequence: str
    row: int


def bounded(entity: str) -> str:
    """An entity short enough for keys and messages: a long one is cut and ends in its SHA-256."""
    if len(entity) <= MAX_ENTITY_CHARACTERS:
        return entity
    digest = hashlib.sha256(entity.encode()).hexdigest()
    return f"{entity[:100]}...sha256:{digest}"


def content(alert: Alert) -> dict[str, Any]:
    """An alert as JSON: in SNS messages, in webhooks and on its item."""
    stream, _, shard = alert.shard.partition("/")
    at = datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="microseconds")
    threshold = {"above": alert.above, "below": alert.below}
    return {
        "id": alert.id,
        "model": alert.model,
        "version": alert.version,
        "entity": alert.entity,
        "entity_key": alert.entity_key,
        "output": alert.output,
        "value": alert.value,
        "threshold": {way: limit for way, limit in threshold.items() if limit is not None},
        "fallback": alert.fallback,
        "cooldown": alert.cooldown,
        "at": at.replace("+00:00", "Z"),
        "stream": stream,
        "shard": shard,
        "sequence": alert.sequence,
        "row": alert.row,
    }


def of_content(found: Mapping[str, Any]) -> Alert:
    """The alert from the output of `content`.

    Raises:
        KeyError, TypeError, ValueError: it is not an output of `content`.
    """
    return Alert(
        id=str(found["id"]),
        model=str(found["model"]),
        version=int(found["version"]),
        entity=str(found["entity"]),
        entity_key=found["entity_key"],
        output=str(found["output"]),
        value=float(found["value"]),
        above=found["threshold"].get("above"),
        below=found["threshold"].get("below"),
        fallback=bool(found["fallback"]),
        cooldown=float(found["cooldown"]),
        at=datetime.fromisoformat(found["at"]).timestamp(),
        shard=f"{found['stream']}/{found['shard']}",
        sequence=str(found["sequence"]),
        row=int(found["row"]),
    )


def sns_message(alert: Alert) -> tuple[str, str, dict[str, str]]:
    """An alert's subject, message and attributes for filter policies, on SNS.

    SNS refuses characters that XML does not allow: the message is ASCII only, and an entity with
    unprintable characters is given only in the message.
    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    subject = "".join(c for c in f"Alert: {alert.model}, {alert.entity}" if " " <= c <= "~")
    attributes = {"model": alert.model}
    if alert.entity.isprintable():
        attributes["entity"] = alert.entity
    return subject[:99].rstrip(), json.dumps({"type": "alert", **content(alert)}), attributes
