"""Closed parts in DynamoDB: read back, repeated, cut into chunks, raced for, served as features."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from tests.functions.conftest import OnlineAws
from tests.kits.models import Clock
from tests.kits.windows import ALL, PLAIN, Row, Shard, by_hand, close_to, contract

from quintet.aws import windows
from quintet.aws.client import AwsClient
from quintet.aws.features import FeatureTable
from quintet.aws.responses import AwsResponse
from quintet.aws.windows import WindowTable, window_attribute
from quintet.columns import Batch
from quintet.contract import Contract, Feature
from quintet.errors import Transient
from quintet.features import StoredValue, join
from quintet.streaming.parts import Counters
from quintet.streaming.sequences import padded
from quintet.streaming.windows import MemoryWindows, Part


@pytest.fixture
def tables(online_aws: OnlineAws) -> Iterator[tuple[str, str]]:
    """A stream table and a feature store of their own."""
    dynamodb = online_aws.client("dynamodb")
    names = f"stream-{uuid4()}", f"features-{uuid4()}"
    for name, keys in zip(names, (("key", "part"), ("entity",)), strict=True):
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
    yield names
    for name in names:
        dynamodb.delete_table(TableName=name)


def store_of(online_aws: OnlineAws, tables: tuple[str, str], **changes: Any) -> WindowTable:
    client = AwsClient("dynamodb", environ=online_aws.environ)
    return WindowTable(client, *tables, **changes)


@pytest.fixture
def store(online_aws: OnlineAws, tables: tuple[str, str]) -> WindowTable:
    return store_of(online_aws, tables)


def scan(online_aws: OnlineAws, table: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """All items of a table by their keys."""
    items = online_aws.client("dynamodb").scan(TableName=table)["Items"]
    keys = ("key", "part") if table.startswith("stream") else ("entity",)
    return {tuple(item[key]["S"] for key in keys): item for item in items}


def features(online_aws: OnlineAws, tables: tuple[str, str]) -> FeatureTable:
    client = AwsClient("dynamodb", environ=online_aws.environ)
    return FeatureTable(client, tables[1], clock=Clock())


PART = f"events/shard-0#00000000000.000#{padded('1')}#{padded('2')}#0000"
NAMES = [aggregate.name for aggregate in ALL]


def test_what_was_closed_is_read_back_as_in_memory(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    memory, model = MemoryWindows(), contract(window=60.0, lateness=5.0)
    for where in (store, memory):
        for number in range(3):
            shard = Shard(where, name=f"events/shard-{number}", start=90.0)
            shard.next = 10**number
            rows = [
                Row("ann", 1.5 + number, "a", at=100.0),
                Row("bob", -2.0, f"b{number}", at=110.0 + number),
                Row("ann", 0.25, "ä", at=119.0),
                Row("ann", 3.0, "late", at=59.0, arrived=119.0),
                Row("eve", 3.0, "next", at=120.0 + number),
            ]
            shard.call(model, rows[:2])
            shard.call(model, rows[2:], early=number == 1)
            shard.call(model, [], final=True)
    assert store.recent("shop") == [120.0, 60.0, 0.0]
    assert store.recent("shop", 2) == [120.0, 60.0]
    assert store.recent("other") == []
    for start in store.recent("shop"):
        assert store.read("shop", start) == memory.read("shop", start)
    assert store.read("shop", 180.0) is None
    window = store.read("shop", 0.0)
    assert window is not None
    assert (window.counters, window.entities) == (Counters(late=3), {})
    served = features(online_aws, tables).fetch("customer", ["ann", "bob", "eve"], NAMES)
    assert served == memory.features.fetch("customer", ["ann", "bob", "eve"], NAMES)
    assert served["eve"]["words"] == StoredValue(1, 180.0)
    assert served["ann"]["last_word"] == StoredValue("ä", 120.0)


def test_the_same_part_again_changes_nothing(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    for _ in range(2):
        shard = Shard(store)
        shard.call(contract(), [Row("ann", 1.0), Row("bob", 2.0)])
        shard.call(contract(), [], final=True)
        found = [scan(online_aws, table) for table in tables]
    again = Shard(store)
    again.call(contract(), [Row("ann", 1.0), Row("bob", 2.0)], final=True)
    assert [scan(online_aws, table) for table in tables] == found
    assert list(found[0]) == [
        ("window#shop#00000000000.000", PART),
        ("windows#shop", "00000000000.000"),
    ]
    assert {item["expires"]["N"] for item in found[0].values()} == {str(30 + 7 * 86_400)}


def crowd_of(count: int) -> list[Row]:
    """Rows of entities that are too long for the feature store, which keeps the tests fast."""
    return [Row(f"{number:05}" + "☃" * 1000, float(number)) for number in range(count)]


def test_a_part_larger_than_an_item_is_cut_and_may_be_closed_in_two(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    model = contract(ALL[:2])
    crowd = crowd_of(400)
    Shard(store).call(model, crowd, final=True)
    chunks = [key for key in scan(online_aws, tables[0]) if key[0].startswith("window#")]
    assert len(chunks) == 4
    assert scan(online_aws, tables[1]) == {}
    window = store.read("shop", 0.0)
    assert window is not None
    assert window.entities == {row.entity: {"orders": 1, "pounds": row.x} for row in crowd}
    # that call failed, and its repeats have other records
    shard = Shard(store)
    shard.call(model, crowd[:3], early=True)
    assert store.read("shop", 0.0) == window
    shard.call(model, crowd[3:], final=True)
    again = store.read("shop", 0.0)
    assert again is not None
    assert (again.counters, again.entities) == (window.counters, window.entities)


def test_a_part_of_which_chunks_are_missing_is_not_there_yet(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    crowd = crowd_of(200)
    Shard(store).call(contract(ALL[:2]), crowd, final=True)
    (key,) = (key for key in scan(online_aws, tables[0]) if key[1].endswith("#0001"))
    online_aws.client("dynamodb").delete_item(
        TableName=tables[0], Key={"key": {"S": key[0]}, "part": {"S": key[1]}}
    )
    assert store.read("shop", 0.0) is None


class Counting(AwsClient):
    """A client whose tables are empty and take everything; counts calls by operation."""

    def __init__(self) -> None:
        super().__init__("dynamodb", environ={})
        self.calls: Counter[str] = Counter()

    def request(self, *arguments: Any, **named: Any) -> AwsResponse:
        """See `AwsClient.request`."""
        self.calls[named["headers"]["x-amz-target"].rpartition(".")[2]] += 1
        return AwsResponse(200, {}, b'{"Responses": {}}')


@pytest.mark.parametrize(
    ("entities", "updates"),
    [
        (999, {"UpdateItem": 999}),
        (1000, {"TransactWriteItems": 10}),
        (6550, {"TransactWriteItems": 66}),
    ],
)
def test_a_spill_of_many_entities_takes_a_hundredth_of_the_writes(
    entities: int, updates: dict[str, int]
) -> None:
    client = Counting()
    shard = Shard(WindowTable(client, "stream", "features"), max_state=1000)
    crowd = [Row(f"customer {number}", number + 0.5) for number in range(entities)]
    assert shard.call(contract(ALL[:5]), crowd).spilled
    reads = {"BatchGetItem": -(-entities // 100), "BatchWriteItem": client.calls["BatchWriteItem"]}
    assert client.calls == reads | updates
    assert client.calls["BatchWriteItem"] <= 2


@pytest.fixture(params=[1000, 1], ids=["each alone", "together"])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entities are updated each alone, and in transactions."""
    monkeypatch.setattr(windows, "TOGETHER", request.param)


class Overtaken(AwsClient):
    """A client before whose first update another one does all that it has to do."""

    def __init__(self, other: Callable[[], None], **arguments: Any) -> None:
        super().__init__("dynamodb", **arguments)
        self._others = [other]

    def request(self, *arguments: Any, **named: Any) -> Any:
        """See `AwsClient.request`."""
        target = named["headers"]["x-amz-target"]
        if target.endswith(("UpdateItem", "TransactWriteItems")) and self._others:
            self._others.pop()()
        return super().request(*arguments, **named)


@pytest.mark.usefixtures("together")
def test_shards_that_close_at_the_same_moment_all_count(
    online_aws: OnlineAws, tables: tuple[str, str]
) -> None:
    rows = [Row("ann", float(number), f"w{number}") for number in range(5)]
    alone = [Row(f"only {number}", 1.0) for number in range(4)]

    def close(number: int) -> None:
        client = AwsClient("dynamodb", environ=online_aws.environ)
        if number:
            client = Overtaken(partial(close, number - 1), environ=online_aws.environ)
        shard = Shard(WindowTable(client, *tables), name=f"events/shard-{number}")
        shard.call(contract(), [*rows, alone[number]], final=True)

    close(3)
    everyone = ["ann", *(row.entity for row in alone)]
    found = features(online_aws, tables).fetch("customer", everyone, NAMES)
    served = {of: {name: item.value for name, item in its.items()} for of, its in found.items()}
    expected = by_hand([*(rows * 4), *alone])
    expected["ann"]["last_word"], expected["ann"]["last_x"] = "w4", 4.0
    assert close_to(served, expected)


def test_an_older_window_and_a_part_that_was_settled_leave_the_features(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    model = contract(PLAIN)
    older, newer = Shard(store), Shard(store, start=30.0, next=10)
    newer.call(model, [Row("ann", 2.0)], early=True)
    newer.call(model, [Row("ann", 5.0)], final=True)
    before = scan(online_aws, tables[1])
    older.call(model, [Row("ann", 100.0)], final=True)
    repeated = Shard(store, start=30.0, next=10)
    repeated.call(model, [Row("ann", 2.0)], early=True)
    assert scan(online_aws, tables[1]) == before
    served = features(online_aws, tables).fetch("customer", ["ann"], ["pounds", "orders"])
    assert served == {"ann": {"pounds": StoredValue(7.0, 60.0), "orders": StoredValue(2, 60.0)}}


def test_features_of_other_origins_stay_in_the_item(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    loaded = {"entity": {"S": "customer#ann"}, "age": {"N": "44"}, "age@": {"N": "7"}}
    online_aws.client("dynamodb").put_item(TableName=tables[1], Item=loaded)
    Shard(store).call(contract(PLAIN[:1]), [Row("ann")], final=True)
    Shard(store).call(contract(PLAIN[:2], name="other"), [Row("ann", 4.0)], final=True)
    (item,) = scan(online_aws, tables[1]).values()
    assert {name for name in item if name.startswith("window#")} == {
        window_attribute("shop"),
        window_attribute("other"),
    }
    assert {name: value for name, value in item.items() if not name.startswith("window#")} == {
        **loaded,
        "orders": {"N": "1"},
        "orders@": {"N": "30.0"},
        "pounds": {"N": "4.0"},
        "pounds@": {"N": "30.0"},
    }


def test_values_and_entities_that_the_feature_store_cannot_hold(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    rows = [Row("ann", 1e300), Row("bob", 1e-300), Row("eve", -1e200), Row("é" * 1020)]
    Shard(store).call(contract(PLAIN), rows, final=True)
    names = ["pounds", "least_x", "spread_x"]
    served = features(online_aws, tables).fetch("customer", ["ann", "bob", "eve"], names)
    assert {e: [v.value for v in found.values()] for e, found in served.items()} == {
        "ann": [9.9e125, 9.9e125, 0],
        "bob": [0, 0, 0],
        "eve": [-9.9e125, -9.9e125, 0],
    }
    window = store.read("shop", 0.0)
    assert window is not None and len(window.entities) == 4
    assert window.entities["ann"]["pounds"] == 1e300


def test_a_window_feature_is_joined_as_stored_ones_are(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    model = contract(PLAIN, window=60.0)
    Shard(store).call(model, [Row("ann", 2.0, at=5.0), Row("ann", 3.0, at=50.0)], final=True)
    window_feature = Feature(
        name="orders",
        dtype="int64",
        source="window",
        default=0,
        max_age=100.0,
        when_stale="default",
    )
    reader = Contract(
        name="reader",
        version=1,
        task="t",
        entity="customer",
        features=(window_feature,),
        inputs=(),
        outputs=(),
    )

    def orders(now: float) -> list[Any]:
        batch = Batch(2, {}, np.ones(2, dtype=np.bool_), ["ann", "bob"])
        return list(join(reader, batch, features(online_aws, tables), now).batch.columns["orders"])

    assert (orders(50.0), orders(160.0), orders(160.5)) == ([2, 0], [2, 0], [0, 0])


class Flaky(AwsClient):
    """A client of which one request is lost, before or after it had its effect."""

    def __init__(self, lost: int, when: str, **arguments: Any) -> None:
        super().__init__("dynamodb", **arguments)
        self._lost, self._when = lost, when
        self._count = 0
        self._lock = threading.Lock()

    def request(self, *arguments: Any, **named: Any) -> Any:
        """See `AwsClient.request`."""
        with self._lock:
            number, self._count = self._count, self._count + 1
        if number == self._lost and self._when == "before":
            raise Transient("lost")
        answer = super().request(*arguments, **named)
        if number == self._lost:
            raise Transient("lost")
        return answer


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_close_that_fails_at_any_request_is_repeated(
    online_aws: OnlineAws, tables: tuple[str, str], when: str
) -> None:
    rows = [Row(name, float(n), f"w{n}") for n, name in enumerate(["ann", "bob", "ann", "eve"])]
    for number in range(20):
        client = Flaky(number, when, environ=online_aws.environ)
        shard = Shard(WindowTable(client, *tables))
        try:
            shard.call(contract(), rows, final=True)
            break
        except Transient:
            continue
    else:
        pytest.fail("never got through")
    assert number > 2
    window = store_of(online_aws, tables).read("shop", 0.0)
    assert window is not None
    assert close_to(window.entities, by_hand(rows))
    found = features(online_aws, tables).fetch("customer", list(window.entities), NAMES)
    assert close_to(
        {e: {n: v.value for n, v in f.items()} for e, f in found.items()}, by_hand(rows)
    )


def test_standings_hold_two_rows_of_a_shard_however_many_parts_there_were(
    online_aws: OnlineAws, tables: tuple[str, str], store: WindowTable
) -> None:
    model = contract(window=3600.0, lateness=60.0)
    shard = Shard(store)
    for number in range(20):
        shard.call(model, [Row("ann", 1.0, at=10.0 * number)], final=True)
        shard.turn()
    (item,) = scan(online_aws, tables[1]).values()
    stored = json.loads(item[window_attribute("shop")]["S"])
    assert [len(found[2]["n"]) for found in stored["shards"].values()] == [2]
    assert item["orders"] == {"N": "20"}
    window = store.read("shop", 0.0)
    assert window is not None and (window.parts, window.counters.records) == (20, 20)


def test_no_parts_need_no_table() -> None:
    nothing: list[Part] = []
    WindowTable(AwsClient("dynamodb", environ={}), "none", "none").close(nothing)
