"""The demo's asynchronous act: a burst of jobs, their signed callbacks, and a dead letter."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from quintet.webhooks.endpoints import UnknownEndpoint, register
from quintet_cli.receiver import Received, Receiver, receiving
from quintet_cli.registered import endpoints_of
from quintet_cli.stage import Stage, StageError
from quintet_publish.kit import read_table

__all__ = ["Drained", "dead_letter", "drain", "read_texts"]

ENDPOINT = "demo"
SECONDS = 120
POISON = "this is no message of ours"


@dataclass(frozen=True, slots=True)
class Drained:
    """The result of a burst: seconds until all were accepted and settled, callbacks by type."""

    accepted_s: float
    settled_s: float
    events: Counter[str]
    verified: int
    ids: int


def read_texts(path: Path, most: int) -> list[str]:
    """Return the first texts of a table of the tickets package."""
    return [str(text) for text in read_table(path)["text"][:most]]


def drain(stage: Stage, texts: list[str], progress: Callable[[int], None]) -> Drained:
    """Submit a job for each text, and wait for a signed callback for each.

    Raises:
        StageError: a job was not accepted, or callbacks did not arrive in time.
    """
    receiver = Receiver()
    with receiving(receiver) as url:
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        endpoint = register(
            ENDPOINT, url, scope="loopback", created=created, random=secrets.token_bytes
        )
        receiver.secrets = [endpoint.secrets[0].text]
        table = endpoints_of(stage)
        with suppress(UnknownEndpoint):  # an earlier demo's receiver had another address
            table.remove(ENDPOINT)
        table.put(endpoint, None)
        start = time.monotonic()
        _submit(stage, texts)
        accepted = time.monotonic() - start
        received = _wait_for(receiver, len(texts), progress)
    verified = [callback for callback in received if callback.verified]
    return Drained(
        accepted,
        time.monotonic() - start,
        Counter(callback.content["type"] for callback in verified),
        len(verified),
        len({callback.id for callback in verified}),
    )


def _submit(stage: Stage, texts: list[str]) -> None:
    headers = {"Prefer": "respond-async", "X-Quintet-Callback": ENDPOINT}
    with urllib3.PoolManager(retries=False) as pool:
        for text in texts:
            answer = pool.request(
                "POST",
                f"{stage.api_url}/models/tickets/predict",
                json={"records": [{"text": text}]},
                headers=headers,
                timeout=30,
            )
            if answer.status != 202:
                raise StageError(
                    f"a job was not accepted: {answer.status} {answer.json()}",
                    command="quintet logs Predict",
                )


def _wait_for(receiver: Receiver, most: int, progress: Callable[[int], None]) -> list[Received]:
    deadline = time.monotonic() + SECONDS
    while len({callback.id for callback in receiver.received}) < most:
        progress(len(receiver.received))
        if time.monotonic() > deadline:
            raise StageError(
                f"{len(receiver.received)} of {most} callbacks came in {SECONDS} s",
                command="quintet jobs ls",
            )
        time.sleep(0.05)
    progress(most)
    return list(receiver.received)


def dead_letter(stage: Stage) -> None:
    """Put a malformed message on the work queue, and wait until it is in the dead-letter queue.

    Raises:
        StageError: it did not get there in time.
    """
    sqs = stage.client("sqs")
    sqs.send_message(QueueUrl=stage.outputs["WorkQueueUrl"], MessageBody=POISON)
    dead = stage.outputs["WorkDeadLettersUrl"]
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = sqs.get_queue_attributes(
            QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"]
        )
        if int(found["Attributes"]["ApproximateNumberOfMessages"]):
            return
        time.sleep(0.2)
    raise StageError(
        f"the message was not among the dead letters after {SECONDS} s", command="quintet dlq ls"
    )
