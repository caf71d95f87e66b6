"""The demo's streaming act: monitored sensors, and orders that change a checkout score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import urllib3

from quintet.aws.stream_sender import Sender
from quintet.streaming.alert import Alert
from quintet.streaming.windows import Window
from quintet_cli.demo.orders import predict, read_records
from quintet_cli.registry import live_contract
from quintet_cli.stage import Stage, StageError
from quintet_cli.stream_files import Line, Packer
from quintet_cli.stream_files import read_records as read_lines
from quintet_cli.stream_reader import Scored, StreamReader
from quintet_cli.stream_tail import Tail

__all__ = ["Burst", "Watched", "burst", "watch"]

SECONDS = 120
LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Watched:
    """Readings sent and scored; alerts with the seconds from arrival to receipt."""

    sent: int = 0
    scored: int = 0
    seconds: float = 0.0
    alerts: list[tuple[Alert, float]] = field(default_factory=list)
    window: Window | None = None


def watch(
    stage: Stage,
    model: str,
    path: Path,
    *,
    most: int,
    rate: float,
    tick: Callable[[int, int], None],
) -> Watched:
    """Send the first readings of a file with current times, and follow them until all are scored.

    `tick` receives the numbers of records sent and scored.

    Raises:
        StageError: they were not all scored in time.
    """
    begun = time.monotonic()
    contract = live_contract(stage, model)
    lines = list(islice(read_lines(path, contract, None), most))
    packer = Packer(model, contract.time_key)
    follow = Tail(StreamReader(stage), model, time.time())
    watched = Watched()
    sender = Sender(stage.client("kinesis"), stage.outputs["EventsStreamName"])
    looked = 0.0
    for sent in sender.send(_entries(lines, packer), rate):
        watched.sent = sent.records
        if time.monotonic() > looked + LOOK_SECONDS:
            _look(follow, watched)
            looked = time.monotonic()
        tick(watched.sent, watched.scored)
    while watched.scored < watched.sent:
        if time.monotonic() > begun + SECONDS:
            raise StageError(
                f"{watched.scored} of {watched.sent} records were scored in time",
                command="quintet stream status",
            )
        time.sleep(LOOK_SECONDS)
        _look(follow, watched)
        tick(watched.sent, watched.scored)
    watched.seconds = time.monotonic() - begun
    _look(follow, watched)
    return watched


def _entries(lines: list[Line], packer: Packer) -> Iterator[tuple[str, bytes]]:
    return ((line.key, packer.pack(line, time.time())) for line in lines)


def _look(follow: Tail, watched: Watched) -> None:
    for seen in follow.look(time.time()):
        match seen:
            case Scored():
                watched.scored += seen.rows
            case Alert():
                watched.alerts.append((seen, time.time() - seen.at))
            case Window():
                watched.window = seen


@dataclass(frozen=True, slots=True)
class Burst:
    """A customer's burst of orders: the online score before and after, and how long it took."""

    customer: str
    orders: int
    before: float
    after: float
    seconds: float


def burst(stage: Stage, path: Path, orders: int) -> Burst:
    """Put orders of one customer onto the stream, and poll the online score until it has changed.

    Raises:
        StageError: it did not change in time.
    """
    contract = live_contract(stage, "fraud")
    assert contract.stream is not None and contract.stream.time is not None
    with urllib3.PoolManager(retries=False) as pool:

        def score(record: dict[str, Any]) -> float | None:
            _, answer = predict(pool, stage.api_url, "fraud", record)
            found = answer["predictions"][0]
            return None if found.get("fallback") else found["probabilities"]["cancelled"]

        for order in read_records(path, 100):
            customer = str(order["customer_id"])
            asked = {k: v for k, v in order.items() if k != contract.stream.time}
            before = score(asked)
            if before is not None and _is_quiet(stage, customer):
                break
        else:
            raise StageError(
                f"no customer of {path} has a history and no orders today",
                command="quintet demo --fresh",
            )
        packer = Packer("fraud", contract.stream.time)
        sender = Sender(stage.client("kinesis"), stage.outputs["EventsStreamName"])
        begun = time.monotonic()
        for _ in sender.send(_entries([Line(customer, order)] * orders, packer)):
            pass
        while time.monotonic() < begun + SECONDS:
            after = score(asked)
            if after is not None and after != before:
                return Burst(customer, orders, before, after, time.monotonic() - begun)
            time.sleep(LOOK_SECONDS)
    raise StageError(
        f"the score of customer {customer} did not change in {SECONDS} s",
        command="quintet stream status",
    )


def _is_quiet(stage: Stage, customer: str) -> bool:
    """Whether no window holds the customer's orders yet, for example from an earlier demo."""
    found = stage.client("dynamodb").get_item(
        TableName=stage.outputs["FeaturesTableName"],
        Key={"entity": {"S": f"customer_id#{customer}"}},
    )
    return "orders_today" not in found.get("Item", {})
