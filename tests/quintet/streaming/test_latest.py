"""The latest scores: an entity's last prediction, never replaced by an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from boto3.dynamodb.types import TypeDeserializer
from tests.kits.alerts import NOW, ROOM, Row, scored, scores_table, sequence
from tests.kits.aws import client, environ, moto_server

from quintet.aws.client import AwsClient
from quintet.aws.latest import LatestTable
from quintet.contract import Contract, Fallback, Output
from quintet.errors import Transient
from quintet.streaming.latest import Latest, LatestScores, MemoryLatest, latest


def one(record: int = 1, entity: str = "s1", at: float = 0.0, **changes: Any) -> Latest:
    """The prediction 0.25 of an entity."""
    made = Latest(
        model="room",
        entity_key="sensor",
        entity=entity,
        outputs={"anomaly": 0.25},
        version=2,
        arrived=NOW + at,
        sequence=sequence(record),
    )
    return replace(made, **changes)


def latest_of(rows: list[Row], contract: Contract = ROOM) -> list[Latest]:
    """What `latest` makes of rows."""
    return latest(contract, np.full(len(rows), contract.version), *scored(rows, contract))


# ---- a batch -------------------------------------------------------------------------------------


def test_the_last_row_of_each_entity_is_its_latest() -> None:
    rows = [(1, "s1", 8.0, 0.0), (1, "s1", 0.5, 0.0), (2, "s2", 8.0, 1.0), (3, "s2", 0.25, 1.0)]
    assert latest_of(rows) == [
        one(1, outputs={"anomaly": 0.5}),
        one(3, "s2", at=1.0),
    ]


def test_what_arrived_last_counts() -> None:
    assert latest_of([(1, "s1", 0.25, 5.0), (2, "s1", 8.0, 4.0)]) == [one(1, at=5.0)]


def test_only_scored_rows_with_an_entity_count() -> None:
    model_rows, scores, shard_batch = scored([(n, "s1", 0.25, 0.0) for n in range(3)])
    scores.index = np.array([0, 1])  # the last row was refused
    scores.outputs["anomaly"] = scores.outputs["anomaly"][:2]
    scores.fallback = scores.fallback[:2]
    assert latest(ROOM, np.full(3, 2), model_rows, scores, shard_batch) == [one(1)]
    assert latest_of([(1, "", 0.25, 0.0)]) == []
    assert latest_of([(1, "s1", 0.25, 0.0)], replace(ROOM, entity=None)) == []
    assert latest_of([]) == []


def test_outputs_are_as_the_api_writes_them() -> None:
    label = Output(
        name="label", dtype="int64", shape=(-1,), meaning="label", classes=("calm", "odd")
    )
    contract = replace(
        ROOM, outputs=(label, *ROOM.outputs), fallback=Fallback(otherwise={"label": 0})
    )
    model_rows, scores, shard_batch = scored([(1, "s1", 0.25, 0.0)], contract)
    scores.outputs["label"] = np.array([1])
    (made,) = latest(contract, np.full(1, 2), model_rows, scores, shard_batch)
    outputs = {"label": 1, "label_class": "odd", "anomaly": 0.25, "fallback": False}
    assert made.outputs == outputs


# ---- the table -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


Stored = Callable[[], dict[str, Any]]


@pytest.fixture
def table(url: str) -> tuple[LatestTable, Stored]:
    """A new table, and what gives its items by key, as boto3's resources do."""
    name = scores_table(url)
    plain = TypeDeserializer()

    def stored() -> dict[str, Any]:
        items = client("dynamodb", url).scan(TableName=name)["Items"]
        found = [{n: plain.deserialize(v) for n, v in item.items()} for item in items]
        return {item.pop("entity"): item for item in found}

    dynamodb = AwsClient("dynamodb", environ=environ(url))
    return LatestTable(dynamodb, name, kept_seconds=86_400), stored


def test_an_item_holds_the_prediction_and_where_it_came_from(
    table: tuple[LatestTable, Stored],
) -> None:
    scores, stored = table
    outputs = {
        "anomaly": np.float32(0.1),
        "label": 1,
        "label_class": "odd",
        "none": None,
        "fallback": True,
        "by_class": {"calm": np.float64(0.75), "odd": 0.25},
        "vector": np.array([[1.5, -2.0]], dtype=np.float32),
    }
    assert scores.put([one(at=0.125, outputs=outputs)]) == 1
    (item,) = stored().values()
    assert item == {
        "outputs": {
            "anomaly": _decimal("0.1"),
            "label": 1,
            "label_class": "odd",
            "none": None,
            "fallback": True,
            "by_class": {"calm": _decimal("0.75"), "odd": _decimal("0.25")},
            "vector": [[_decimal("1.5"), -2]],
        },
        "version": 2,
        "arrived": _decimal("1800000000.125"),
        "sequence": sequence(1).zfill(56),
        "source": "stream",
        "expires": 1_800_086_400,
    }


def _decimal(text: str) -> Any:
    return Decimal(text)


def test_numbers_that_dynamodb_does_not_hold_stop_nothing(
    table: tuple[LatestTable, Stored],
) -> None:
    scores, stored = table
    outputs = {
        "tiny": 1e-200,
        "huge": -1e300,
        "small": np.float32(1e-45),
        "wide": np.zeros(5_000, dtype=np.float32),
    }
    scores.put([one(outputs=outputs), one(1, "x" * 3_000)])
    (item,) = stored().values()
    assert item["outputs"] == {
        "tiny": 0,
        "huge": "-1e+300",
        "small": _decimal("1E-45"),
        "wide": None,
    }


@pytest.fixture(params=["memory", "dynamodb"])
def scores(request: pytest.FixtureRequest, table: tuple[LatestTable, Stored]) -> LatestScores:
    return MemoryLatest() if request.param == "memory" else table[0]


def test_an_earlier_prediction_replaces_no_later_one(scores: LatestScores) -> None:
    assert scores.put([]) == 0
    assert scores.put([one(5, at=5.0), one(5, "s2", at=5.0)]) == 2
    assert scores.put([one(5, at=5.0)]) == 0  # it came again
    assert scores.put([one(4, at=5.0), one(9, at=4.0), one(6, "s2", at=5.0)]) == 1
    assert scores.put([one(10, at=5.0), one(1, "s2", at=6.0), one(1, "s3")]) == 3
    assert scores.put([one(1, model="hall"), one(1, entity_key="room")]) == 2


def test_what_was_put_is_looked_up_until_it_expires(scores: LatestScores) -> None:
    assert isinstance(scores, MemoryLatest | LatestTable)
    outputs = {"anomaly": 0.25, "n": 3, "fallback": False, "by": {"a": [1.5, -2.0]}, "none": None}
    made = one(7, "sensor/1", outputs=outputs, source="batch")
    scores.put([made])
    found = scores.get("room", "sensor", "sensor/1", NOW)
    assert found is not None
    assert replace(found, sequence=made.sequence) == made
    assert int(found.sequence) == int(made.sequence)
    for other in (
        ("hall", "sensor", "sensor/1"),
        ("room", "sensor", "s9"),
        ("room", "x", "s" * 3_000),
    ):
        assert scores.get(*other, NOW) is None


def test_what_has_expired_is_gone(table: tuple[LatestTable, Stored]) -> None:
    scores, _ = table
    scores.put([one()])
    assert scores.get("room", "sensor", "s1", NOW + 86_399) is not None
    assert scores.get("room", "sensor", "s1", NOW + 86_400) is None


def test_sequences_of_different_lengths_are_compared_as_numbers(scores: LatestScores) -> None:
    assert scores.put([one(sequence="9")]) == 1
    assert scores.put([one(sequence="10")]) == 1
    assert scores.put([one(sequence="9")]) == 0


def test_a_table_that_does_not_answer_is_transient(url: str) -> None:
    table = LatestTable(AwsClient("dynamodb", environ=environ(url)), "none", kept_seconds=1)
    with pytest.raises(Transient):
        table.put([one(1), one(1, "s2")])
