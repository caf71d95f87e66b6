"""The demo's rollouts: requests go on while a version is rolled out, until that is over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import urllib3

from quintet.rollouts.store import Change
from quintet_cli.demo.orders import predict
from quintet_cli.rollouts import StageRollouts
from quintet_cli.stage import Stage, StageError

__all__ = ["RolledOut", "follow", "order_answers"]

#: how long a rollout of the demo may take, in seconds
MOST_SECONDS = 120.0
#: how often its state is read
POLL_SECONDS = 1.0
#: orders in a request: each is routed by itself
ORDERS = 8


@dataclass(slots=True)
class RolledOut:
    """A rollout that is over: its changes, its seconds, and the orders by version that answered."""

    changes: Sequence[Change] = ()
    seconds: float = 0.0
    answered: Counter[int] = field(default_factory=Counter)
    refused: int = 0


def follow(
    stage: Stage,
    model: str,
    answers: Iterator[Sequence[int | None]],
    begun: Change,
    tick: Callable[[Change, RolledOut], None],
) -> RolledOut:
    """Go on asking until the rollout that `begun` began is over.

    `answers` has no end, and asks as it goes: each element names the versions that answered some
    requests, None where one was refused.

    Raises:
        StageError: it takes too long.
    """
    rollouts, found, start = StageRollouts(stage), RolledOut(), time.monotonic()
    read = start
    for versions in answers:
        found.answered.update(version for version in versions if version is not None)
        found.refused += versions.count(None)
        now = time.monotonic()
        if now - read < POLL_SECONDS:
            continue
        read, found.seconds = now, now - start
        found.changes = [
            change for change in rollouts.history(model) if change.revision >= begun.revision
        ]
        tick(found.changes[-1], found)
        if found.changes[-1].rollout is None:
            return found
        if found.seconds > MOST_SECONDS:
            raise StageError(
                f"the rollout of {model} is not over after {MOST_SECONDS:.0f} s",
                command=f"quintet rollout status {model}",
            )
    raise AssertionError("unreachable: the answers have no end")


def order_answers(
    stage: Stage, model: str, records: Sequence[dict[str, Any]]
) -> Generator[Sequence[int | None]]:
    """The answers to batches of records, again and again."""
    with urllib3.PoolManager(retries=False) as pool:
        for orders in _batches(records):
            status, answer = predict(pool, stage.api_url, model, *orders)
            if status == 200:
                yield answer.get("versions", [answer["version"]] * len(orders))
            else:
                yield [None] * len(orders)


def _batches(records: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """Batches without end. Every record comes to be the first of one: gates of entities count the
    first row of a request."""
    start = 0
    while True:
        yield records[start : start + ORDERS]
        start = (start + ORDERS + 1) % len(records)
