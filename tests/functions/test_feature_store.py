"""The feature store: its table, the feature cache, and the circuit breaker."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from tests.functions.conftest import OnlineAws
from tests.kits.models import NOW, Clock

from quintet.aws.client import AwsClient
from quintet.aws.features import FeatureTable
from quintet.errors import Transient
from quintet.features import FeatureCache, FeatureSource, MemoryFeatures, StoredValue
from quintet.serving.breaker import CircuitBreaker, GuardedFeatures


def client(environ: dict[str, str], **changes: Any) -> AwsClient:
    return AwsClient("dynamodb", environ=environ, **changes)


@pytest.fixture(params=["table", "memory"])
def source(request: pytest.FixtureRequest, online_aws: OnlineAws) -> Iterator[FeatureSource]:
    """The same features in the table and in memory: both are held to the same tests."""
    features: dict[tuple[str, str], dict[str, tuple[Any, float]]] = {
        ("card", "one"): {"amount": (12.5, 100.0), "count": (3, 200.0)},
        ("card", "two"): {"name": ("näme", 100.0), "flag": (True, 100.0)},
        ("shop", "one"): {"amount": (99.0, 100.0)},
    }
    if request.param == "memory":
        memory = MemoryFeatures()
        for (key, entity), values in features.items():
            for name, (value, at) in values.items():
                memory.put(key, entity, name, value, at)
        yield memory
        return
    dynamodb = online_aws.client("dynamodb")
    for (key, entity), values in features.items():
        item: dict[str, Any] = {"entity": {"S": f"{key}#{entity}"}}
        for name, (value, at) in values.items():
            kind = "BOOL" if isinstance(value, bool) else "S" if isinstance(value, str) else "N"
            item[name] = {kind: value if kind == "BOOL" else str(value)}
            item[f"{name}@"] = {"N": str(at)}
        dynamodb.put_item(TableName="features", Item=item)
    yield FeatureTable(client(online_aws.environ), "features", clock=Clock())


def test_what_is_stored_comes_by_entity_and_feature(source: FeatureSource) -> None:
    assert source.fetch("card", ["one", "two", "three"], ["amount", "name", "flag"]) == {
        "one": {"amount": StoredValue(12.5, 100.0)},
        "two": {"name": StoredValue("näme", 100.0), "flag": StoredValue(True, 100.0)},
    }
    assert source.fetch("shop", ["one"], ["amount"]) == {"one": {"amount": StoredValue(99.0, 100)}}
    assert source.fetch("card", ["two"], ["amount"]) == {}
    assert source.fetch("card", ["nobody"], ["amount"]) == {}


def test_more_entities_than_one_read_takes(online_aws: OnlineAws) -> None:
    dynamodb = online_aws.client("dynamodb")
    names = [f"m{number}" for number in range(230)]
    for start in range(0, 230, 25):
        items = [
            {"entity": {"S": f"many#{n}"}, "v": {"N": n[1:]}, "v@": {"N": "1"}}
            for n in names[start : start + 25]
        ]
        dynamodb.batch_write_item(
            RequestItems={"features": [{"PutRequest": {"Item": item}} for item in items]}
        )
    table = FeatureTable(client(online_aws.environ), "features", clock=Clock())
    found = table.fetch("many", [*names, "m3", "nobody"], ["v"])
    assert found == {n: {"v": StoredValue(int(n[1:]), 1.0)} for n in names}


def test_what_has_expired_is_not_there_and_odd_attributes_are_passed_over(
    online_aws: OnlineAws,
) -> None:
    dynamodb = online_aws.client("dynamodb")
    value: dict[str, Any] = {"v": {"N": "1"}, "v@": {"N": "1"}}
    odd: dict[str, dict[str, Any]] = {
        "gone": {**value, "expires": {"N": str(int(NOW))}},
        "here": {**value, "expires": {"N": str(int(NOW) + 1)}},
        "list": {"v": {"L": []}, "v@": {"N": "1"}},
        "undated": {"v": {"N": "1"}},
        "misdated": {"v": {"N": "1"}, "v@": {"S": "today"}},
        "taken": {**value, "v@known": {"N": "1.5"}},
        "replaced": {"v": {"N": "2"}, "v@": {"N": "2"}, "v@known": {"N": "1.5"}},
    }
    for entity, attributes in odd.items():
        item = {"entity": {"S": f"odd#{entity}"}, **attributes}
        dynamodb.put_item(TableName="features", Item=item)
    table = FeatureTable(client(online_aws.environ), "features", clock=Clock())
    assert table.fetch("odd", list(odd), ["v"]) == {
        "here": {"v": StoredValue(1, 1.0)},
        "taken": {"v": StoredValue(1, 1.0, known=1.5)},
        "replaced": {"v": StoredValue(2, 2.0)},  # by a writer that does not say when
    }


class Counting:
    """A source that tells what it was asked for, and fails while it is told to."""

    def __init__(self, source: FeatureSource) -> None:
        self.source = source
        self.asked: list[list[str]] = []
        self.failing = False

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        self.asked.append(list(entities))
        if self.failing:
            raise Transient("lost")
        return self.source.fetch(key, entities, names)


def counted() -> Counting:
    memory = MemoryFeatures()
    memory.put("card", "one", "v", 1, 100.0)
    return Counting(memory)


def test_the_cache_reads_each_entity_once_while_it_is_fresh() -> None:
    source, clock = counted(), Clock(0.0)
    cache = FeatureCache(source, seconds=5, clock=clock)
    expected = {"one": {"v": StoredValue(1, 100.0)}}
    assert cache.fetch("card", ["one", "none"], ["v"]) == expected
    assert cache.fetch("card", ["none", "one", "new"], ["v"]) == expected
    assert source.asked == [["one", "none"], ["new"]]
    clock.now = 5.0
    assert cache.fetch("card", ["one"], ["v"]) == expected
    assert cache.fetch("card", ["one"], ["v", "w"]) == expected
    assert source.asked[2:] == [["one"], ["one"]]


def test_the_cache_is_bounded_and_remembers_no_failure() -> None:
    source = counted()
    cache = FeatureCache(source, seconds=5, most=2, clock=Clock())
    for entity in ("one", "two", "three", "one"):
        cache.fetch("card", [entity], ["v"])
    assert source.asked == [["one"], ["two"], ["three"], ["one"]]
    source.failing = True
    with pytest.raises(Transient):
        cache.fetch("card", ["four"], ["v"])
    source.failing = False
    assert cache.fetch("card", ["four"], ["v"]) == {}


# ---- the circuit breaker -------------------------------------------------------------------------


def tries(guarded: FeatureSource, count: int) -> list[str]:
    """How some reads end."""
    found = []
    for _ in range(count):
        try:
            guarded.fetch("card", ["one"], ["v"])
            found.append("read")
        except Transient as error:
            found.append("open" if "circuit" in str(error) else "lost")
    return found


@contextmanager
def refusing() -> Iterator[str]:
    """A port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def hanging() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("failing", [refusing, hanging])
def test_the_circuit_opens_while_dynamodb_fails_and_closes_after(
    online_aws: OnlineAws, failing: Any
) -> None:
    environ, clock = dict(online_aws.environ), Clock()
    quick = {"connect_seconds": 0.05, "read_seconds": 0.05, "attempts": 1}
    table = FeatureTable(client(environ, **quick), "features", clock=clock)
    counting = Counting(table)
    seen: list[str] = []
    breaker = CircuitBreaker(failures=3, recovery_seconds=10, clock=clock, on_change=seen.append)
    guarded = GuardedFeatures(counting, breaker)
    with failing() as url:
        environ["AWS_ENDPOINT_URL"] = url
        assert tries(guarded, 5) == ["lost"] * 3 + ["open"] * 2
        clock.now += 10
        assert tries(guarded, 2) == ["lost", "open"]
    environ["AWS_ENDPOINT_URL"] = online_aws.url
    clock.now += 10
    assert tries(guarded, 2) == ["read"] * 2
    assert len(counting.asked) == 6
    assert seen == ["OPEN", "HALF_OPEN", "OPEN", "HALF_OPEN", "CLOSED"]
