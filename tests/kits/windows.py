"""Streams for tests of windows: rows, what arrives of them, and their aggregates by hand."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quintet.columns import Batch
from quintet.contract import Aggregate, Contract, Feature, Input, Output, Scalar, Stream
from quintet.streaming.model_rows import ModelRows, ShardBatch, TumblingWindow
from quintet.streaming.windows import Advanced, Part, WindowStore, advance

ALL = (
    Aggregate(name="orders", how="count"),
    Aggregate(name="pounds", how="sum", of="x"),
    Aggregate(name="mean_x", how="mean", of="x"),
    Aggregate(name="least_x", how="min", of="x"),
    Aggregate(name="most_x", how="max", of="x"),
    Aggregate(name="spread_x", how="stddev", of="x"),
    Aggregate(name="last_x", how="last", of="x"),
    Aggregate(name="last_word", how="last", of="word"),
    Aggregate(name="words", how="distinct", of="word"),
)
PLAIN = ALL[:6]


def contract(
    aggregates: tuple[Aggregate, ...] = ALL,
    *,
    window: float | None = None,
    lateness: float = 0.0,
    name: str = "shop",
) -> Contract:
    """A contract whose windows are by arrival, or by the field `at` where there is a window."""
    return Contract(
        name=name,
        version=1,
        task="regression",
        entity="customer",
        features=(Feature(name="x", dtype="float32"),),
        inputs=(Input(name="x", dtype="float32", shape=(-1, 1)),),
        outputs=(Output(name="y", dtype="float32", shape=(-1,), meaning="score"),),
        stream=Stream(
            aggregates=aggregates,
            time=None if window is None else "at",
            window=window,
            allowed_lateness=lateness,
        ),
    )


@dataclass(frozen=True)
class Row:
    """One record of one row."""

    entity: str
    x: float = 1.0
    word: str = "a"
    at: float = 0.0
    arrived: float | None = None
    counted: bool = True


def arrive(
    model: Contract, rows: Sequence[Row], first: int = 1, shard: str = "events/shard-0"
) -> tuple[ShardBatch, ModelRows]:
    """Rows as an invocation gets them, one a record, numbered from `first`."""
    count = len(rows)
    words = np.empty(count, dtype=object)
    words[:] = [row.word for row in rows]
    times = np.array([row.at for row in rows], dtype=np.float64)
    arrived = [row.at if row.arrived is None else row.arrived for row in rows]
    shard_batch = ShardBatch(
        shard,
        [str(first + number) for number in range(count)],
        [row.entity for row in rows],
        [b"{}"] * count,
        np.array(arrived, dtype=np.float64),
    )
    batch = Batch(count, {}, np.ones(count, dtype=np.bool_), [row.entity for row in rows])
    model_rows = ModelRows(
        model,
        batch,
        np.arange(count),
        np.zeros(count, dtype=np.int64),
        {"x": np.array([row.x for row in rows], dtype=np.float64), "word": words},
        times,
        np.array([row.counted for row in rows], dtype=np.bool_),
    )
    return shard_batch, model_rows


NOTHING = arrive(contract(), [])[0]


@dataclass
class Shard:
    """The event source of one shard: it hands the state on, through JSON as Lambda does."""

    store: WindowStore
    name: str = "events/shard-0"
    start: float = 0.0
    length: float = 30.0
    state: Any = None
    next: int = 1
    max_state: int = 256 * 1024

    def call(
        self,
        model: Contract,
        rows: Sequence[Row],
        *,
        final: bool = False,
        early: bool = False,
        accept: bool = True,
    ) -> Advanced:
        """An invocation with these rows; it is repeated later where it is not accepted."""
        shard_batch, model_rows = arrive(model, rows, self.next, self.name)
        tumbling = TumblingWindow(
            self.start, self.start + self.length, self.state or {}, final, early
        )
        found = advance(
            tumbling,
            shard_batch,
            [model_rows] if rows else [],
            self.store,
            max_state=self.max_state,
        )
        if accept:
            self.next += len(rows)
            self.state = json.loads(json.dumps(found.state))
        return found

    def turn(self) -> None:
        """The next window of the event source."""
        self.start += self.length
        self.state = {}


def by_hand(rows: Sequence[Row]) -> dict[str, dict[str, Scalar]]:
    """The aggregates `ALL` of rows, in plain Python. The last is the last of them."""
    entities: dict[str, list[Row]] = {}
    for row in rows:
        entities.setdefault(row.entity, []).append(row)
    found: dict[str, dict[str, Scalar]] = {}
    for entity, mine in sorted(entities.items()):
        xs = [row.x for row in mine]
        last = max(enumerate(mine), key=lambda pair: (pair[1].at, pair[0]))[1]
        found[entity] = {
            "orders": len(mine),
            "pounds": math.fsum(xs),
            "mean_x": math.fsum(xs) / len(xs),
            "least_x": min(xs),
            "most_x": max(xs),
            "spread_x": statistics.pstdev(xs),
            "last_x": last.x,
            "last_word": last.word,
            "words": len({row.word for row in mine}),
        }
    return found


def close_to(found: dict[str, dict[str, Scalar]], expected: dict[str, dict[str, Scalar]]) -> bool:
    """Whether aggregates agree: to 1e-9 of the values' size, counts and texts exactly."""
    if found.keys() != expected.keys():
        return False
    for entity, values in expected.items():
        if found[entity].keys() != values.keys():
            return False
        size = max(1.0, *(abs(float(values[name])) for name in ("least_x", "most_x")))
        for name, value in values.items():
            got = found[entity][name]
            if isinstance(value, float) and name not in ("least_x", "most_x", "last_x"):
                if abs(float(got) - value) > 1e-9 * size * float(values["orders"]):
                    return False
            elif got != value:
                return False
    return True


def renumbered(part: Part, **changes: Any) -> Part:
    """A part with other fields."""
    return replace(part, **changes)
