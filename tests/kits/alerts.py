"""Scored rows of a stream for tests of alerts and latest scores, and the tables on moto."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tests.kits.aws import client
from tests.kits.jobs import table_properties

from quintet.columns import Array, Batch
from quintet.contract import AlertRule, Contract, Feature, Input, Output
from quintet.scoring import Scores
from quintet.streaming.alert import Alert
from quintet.streaming.model_rows import ModelRows, ShardBatch
from quintet.streaming.thresholds import PastThreshold, past_threshold

NOW = 1_800_000_000.0
SHARD = "events/shardId-000000000000"
#: as long as Kinesis makes them, about
FIRST = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_800

ROOM = Contract(
    name="room",
    version=2,
    task="anomaly",
    entity="sensor",
    features=(Feature(name="celsius", dtype="float32"),),
    inputs=(Input(name="x", dtype="float32", shape=(-1, 1), features=("celsius",)),),
    outputs=(Output(name="anomaly", dtype="float32", shape=(-1, 1), meaning="score"),),
    alert=AlertRule(output="anomaly", above=5.0, cooldown=300.0),
)

_numbers = itertools.count(1)

#: a scored row: which record, its entity, its score, when the record arrived after NOW
Row = tuple[int, str, float, float]


def sequence(record: int) -> str:
    """The sequence number of a record."""
    return str(FIRST + record)


def scored(
    rows: Sequence[Row], contract: Contract = ROOM, shard: str = SHARD
) -> tuple[ModelRows, Scores, ShardBatch]:
    """Rows as they come out of the scorer, ascending by record."""
    records = sorted({row[0] for row in rows})
    arrived = {row[0]: NOW + row[3] for row in rows}
    shard_batch = ShardBatch(
        shard=shard,
        sequences=[sequence(record) for record in records],
        keys=[f"key-{record}" for record in records],
        data=[b"{}" for _ in records],
        arrived=np.array([arrived[record] for record in records]),
    )
    count = len(rows)
    places = np.array([records.index(row[0]) for row in rows], dtype=np.int64)
    within = [sum(other[0] == row[0] for other in rows[:n]) for n, row in enumerate(rows)]
    values: Array = np.array([[row[2]] for row in rows], dtype=np.float32).reshape(count, 1)
    model_rows = ModelRows(
        contract=contract,
        batch=Batch(
            count,
            {"celsius": values[:, 0]},
            np.ones(count, dtype=np.bool_),
            [row[1] for row in rows] if contract.entity else None,
        ),
        record=places,
        row=np.array(within, dtype=np.int64),
        fields={},
        times=shard_batch.arrived[places],
        counted=np.ones(count, dtype=np.bool_),
    )
    return (
        model_rows,
        Scores(np.arange(count), {"anomaly": values}, np.zeros(count, np.bool_), []),
        shard_batch,
    )


def found_in(rows: Sequence[Row], contract: Contract = ROOM, shard: str = SHARD) -> PastThreshold:
    """What `found` makes of rows."""
    return past_threshold(
        contract, np.full(len(rows), contract.version), *scored(rows, contract, shard)
    )


def alert(record: int = 1, entity: str = "s1", at: float = 0.0, **changes: Any) -> Alert:
    """The alert of a row that scored 8.2."""
    made = Alert(
        id=f"{SHARD}/{sequence(record)}/0",
        model="room",
        version=2,
        entity=entity,
        entity_key="sensor",
        output="anomaly",
        value=8.2,
        above=5.0,
        below=None,
        fallback=False,
        cooldown=300.0,
        at=NOW + at,
        shard=SHARD,
        sequence=sequence(record),
        row=0,
    )
    return replace(made, **changes)


def stream_table(url: str) -> str:
    """A new table of the stream on a moto server; its name."""
    return _table(url, "StreamTable")


def scores_table(url: str) -> str:
    """A new table of latest scores on a moto server; its name."""
    return _table(url, "ScoresTable")


def _table(url: str, resource: str) -> str:
    name = f"{resource}-{next(_numbers)}"
    client("dynamodb", url).create_table(TableName=name, **table_properties(resource))
    return name
