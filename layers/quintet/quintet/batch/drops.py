"""Start a run for a dropped file: read the S3 notification, and start the run once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import unquote_plus

import orjson

from quintet.batch.plans import run_name
from quintet.errors import BadInput

__all__ = ["DropResult", "Dropped", "RunStarter", "dropped", "start"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """One version of one object that was put into the inbox.

    `token` is S3's sequencer of the event; it identifies versions if the bucket keeps none.
    """

    bucket: str
    key: str
    version_id: str | None
    token: str

    @property
    def run(self) -> str:
        """The name of the file's run."""
        return run_name(self.bucket, self.key, self.version_id or self.token)

    @property
    def ours(self) -> bool:
        """Whether it is a file under a model's folder; a key that ends in / marks a folder.

        Files under a folder that begins with _ wait for a run over many files.
        """
        model, slash, rest = self.key.partition("/")
        ignored = self.key.startswith("_") or self.key.endswith("/")
        return bool(model and slash and rest) and not ignored


class DropResult(NamedTuple):
    """The result for one object: its run, and whether this call started it."""

    run: str
    status: Literal["started", "already started", "ignored"]


class RunStarter(Protocol):
    """Starts runs."""

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """Start a run under its name; return False if that name was started before.

        The same start again returns True while the run goes on, as in Step Functions.

        Raises:
            Transient: it could not be started now.
        """
        ...


def dropped(body: str) -> list[Dropped]:
    """The objects that an S3 message names; empty for its test event.

    Keys are form-encoded: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

    Raises:
        BadInput: the message is not an S3 notification.
    """
    try:
        message = orjson.loads(body)
        if message.get("Event") == "s3:TestEvent":
            return []
        return [
            _object(record)
            for record in message["Records"]
            if record["eventName"].startswith("ObjectCreated:")
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput.of("message", "an S3 event notification", "something else") from None


def _object(record: dict[str, Any]) -> Dropped:
    found = record["s3"]["object"]
    return Dropped(
        bucket=record["s3"]["bucket"]["name"],
        key=unquote_plus(found["key"]),
        version_id=found.get("versionId"),
        token=found.get("sequencer") or found.get("eTag") or "",
    )


def start(found: Dropped, runs: RunStarter) -> DropResult:
    """Start the run of a dropped file, once.

    Raises:
        Transient: it could not be started now.
    """
    if not found.ours:
        return DropResult(found.run, "ignored")
    # identical for every notification of this version: Step Functions also compares the input
    request = {
        "bucket": found.bucket,
        "key": found.key,
        "version_id": found.version_id,
        "model": found.key.partition("/")[0],  # for notifications, however the run ends
    }
    return DropResult(found.run, "started" if runs.start(found.run, request) else "already started")
