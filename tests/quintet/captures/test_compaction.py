"""What CloudWatch Logs delivers becomes objects; those of an hour become one, each row once."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.kits.captures import delivery, lines_of, records, table
from tests.kits.models import NOW

from quintet.captures import compaction
from quintet.captures.compaction import Compacted, compact, unique
from quintet.captures.delivery import Delivered, deliver
from quintet.captures.places import FAILED, Place, hourly_key, place_of
from quintet.captures.reading import Hour
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import concat, read_parquet
from quintet.errors import Transient

HOUR = Hour("shop", 3, 7, int(NOW // 3600) * 3600)
HOURLY = "captures/model=shop/date=2023-11-14/hour=22/v3-7d.parquet"
LATER = NOW + 2 * 3600


def order(customer: str, amount: float = 100) -> dict[str, Any]:
    return {"customer": customer, "amount": amount}


def raw(store: MemoryCaptures) -> list[str]:
    return store.keys("raw/")


def test_a_delivery_is_an_object_and_a_retry_the_same() -> None:
    store = MemoryCaptures()
    sent = delivery([*lines_of("e1", [order("c1"), order("c2")]), *lines_of("e2", [order("c1")])])
    assert deliver(sent, store) == Delivered("/aws/lambda/predict", rows=3, objects=1)
    written = dict(store.objects)
    deliver(sent, store)
    assert store.objects == written
    (key,) = written
    assert key.startswith("raw/model=shop/date=2023-11-14/hour=22/v3-7d-e1-e2-")
    assert place_of(key) == Place(key, HOUR)
    assert records(table(store), "event", "row") == [("e1", 0), ("e1", 1), ("e2", 0)]


def test_the_lines_of_one_event_in_two_deliveries_are_two_objects() -> None:
    store = MemoryCaptures()
    first, second = lines_of("e1", [order("c1")]), lines_of("e1", [order("c2")])
    later = json.loads(second[0]) | {"index": [1]}
    deliver(delivery(first), store)
    deliver(delivery([json.dumps(later)]), store)
    assert len(raw(store)) == 2
    assert records(table(store), "event", "row") == [("e1", 0), ("e1", 1)]


def test_a_control_message_and_other_lines_write_nothing() -> None:
    store = MemoryCaptures()
    assert deliver(delivery(["CWL CONTROL MESSAGE"], kind="CONTROL_MESSAGE"), store).rows == 0
    assert deliver(delivery(['{"capture": 1, "cut']), store).unreadable == 1
    assert store.objects == {}


def test_an_hour_becomes_one_object_with_each_row_once() -> None:
    store = MemoryCaptures()
    lines = [*lines_of("e1", [order("c1")]), *lines_of("e2", [order("c1")])]
    deliver(delivery(lines), store)
    deliver(delivery(lines[1:]), store)  # cut otherwise
    deliver(delivery(lines_of("e3", [order("c2")], now=LATER)), store)  # an hour that goes on
    before = records(table(store), "event", "row")
    assert compact(store, store, LATER) == Compacted(hours=1, rows=2, duplicates=1)
    assert store.keys("captures/") == [HOURLY]
    assert len(raw(store)) == 1
    assert records(table(store), "event", "row") == before
    assert compact(store, store, LATER) == Compacted()
    # rows that arrive late join the object; one that was there is not doubled
    deliver(delivery([lines[0], *lines_of("e0", [order("c9")])]), store)
    assert compact(store, store, LATER) == Compacted(hours=1, rows=1, duplicates=1)
    assert records(read_parquet(store.objects[HOURLY]), "event") == [("e0",), ("e1",), ("e2",)]


def test_of_a_row_twice_the_one_that_was_served_last_counts() -> None:
    rows = [
        read_parquet(body)
        for number in (2, 1, 3)
        for body in _delivered(lines_of("e1", [order("c1", number)], now=NOW + number))
    ]
    assert records(unique(concat(rows)), "event", "feature_amount") == [("e1", 3.0)]


def _delivered(lines: list[str]) -> list[bytes]:
    store = MemoryCaptures()
    deliver(delivery(lines), store)
    return list(store.objects.values())


class Racing(MemoryCaptures):
    """A store in which something happens just before the first swap."""

    def __init__(self, before: Callable[[MemoryCaptures], object]) -> None:
        super().__init__()
        self.before: Callable[[MemoryCaptures], object] | None = before

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        if self.before is not None:
            before, self.before = self.before, None
            before(self)
        return super().swap(key, body, tag)


def test_two_compactions_at_once_lose_nothing() -> None:
    late = delivery(lines_of("e2", [order("c2")]))

    def other(store: MemoryCaptures) -> None:
        deliver(late, store)
        compact(store, store, LATER)

    store = Racing(other)
    deliver(delivery(lines_of("e1", [order("c1")])), store)
    assert compact(store, store, LATER) == Compacted(left=1)
    assert compact(store, store, LATER) == Compacted()
    assert records(table(store), "event") == [("e1",), ("e2",)]


def test_a_compaction_that_dies_after_its_write_is_repeated_without_harm() -> None:
    class Dying(MemoryCaptures):
        def delete(self, keys: Any) -> None:
            raise Transient("gone")

    store = Dying()
    deliver(delivery(lines_of("e1", [order("c1")])), store)
    with pytest.raises(Transient):
        compact(store, store, LATER)
    assert records(table(store), "event") == [("e1",)]
    healthy = MemoryCaptures()
    healthy.objects = store.objects
    assert compact(healthy, healthy, LATER) == Compacted(hours=1, rows=0, duplicates=1)
    assert (raw(healthy), records(table(healthy), "event")) == ([], [("e1",)])


def test_a_large_hour_has_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MAX_BYTES", 100)
    store = MemoryCaptures()
    for number in range(3):
        deliver(delivery(lines_of(f"e{number}", [order("c1")])), store)
    assert compact(store, store, LATER).rows == 3
    assert store.keys("captures/") == [
        HOURLY.replace(".parquet", part) for part in ("-1.parquet", "-2.parquet", ".parquet")
    ]
    assert records(table(store), "event") == [("e0",), ("e1",), ("e2",)]
    deliver(delivery(lines_of("e9", [order("c1")])), store)
    compact(store, store, LATER)
    assert hourly_key(HOUR, 3) in store.objects
    assert {place_of(key) for key in store.objects} == {Place(key, HOUR) for key in store.objects}


def test_what_lambda_gave_up_is_delivered_again() -> None:
    store = MemoryCaptures()
    record = {"version": "1.0", "requestPayload": delivery(lines_of("e1", [order("c1")]))}
    store.put("aws/lambda/async/capture/2026/01/02/a", json.dumps(record).encode())
    store.put("aws/lambda/async/capture/2026/01/02/b", b"no record")
    damaged = ["aws/lambda/async/capture/2026/01/02/b"]
    assert compact(store, store, LATER) == Compacted(1, hours=1, rows=1, damaged=damaged)
    assert store.keys("aws/") == ["aws/lambda/async/capture/2026/01/02/b"]
    assert records(table(store), "event") == [("e1",)]


def test_captures_are_deleted_when_their_days_are_over() -> None:
    store = MemoryCaptures()
    deliver(delivery(lines_of("e1", [order("c1")])), store)
    end = HOUR.start + 3600 + 7 * 86_400
    assert compact(store, store, end - 1).expired == 0
    deliver(delivery(lines_of("e2", [order("c1")])), store)
    assert compact(store, store, end) == Compacted(hours=1, rows=1, expired=1)
    assert store.objects == {}


def test_without_time_hours_are_left_for_the_next_compaction() -> None:
    store = MemoryCaptures()
    deliver(delivery(lines_of("e1", [order("c1")])), store)
    assert compact(store, store, LATER, has_time=lambda: False) == Compacted(left=1)
    assert len(raw(store)) == 1


def test_damaged_objects_stay_and_the_others_are_merged() -> None:
    store = MemoryCaptures()
    deliver(delivery(lines_of("e1", [order("c1")])), store)
    (damaged,) = raw(store)
    store.objects[damaged] = b"PAR1 no more"
    deliver(delivery(lines_of("e2", [order("c2")])), store)
    assert compact(store, store, LATER) == Compacted(hours=1, rows=1, damaged=[damaged])
    assert raw(store) == [damaged]
    assert records(read_parquet(store.objects[HOURLY]), "event", "row") == [("e2", 0)]


def test_a_damaged_hour_gets_another_part() -> None:
    store = MemoryCaptures()
    store.objects[HOURLY] = b"PAR1 no more"
    deliver(delivery(lines_of("e1", [order("c1")])), store)
    assert compact(store, store, LATER) == Compacted(hours=1, rows=1, damaged=[HOURLY])
    assert store.objects[HOURLY] == b"PAR1 no more"
    (part,) = set(store.objects) - {HOURLY}
    assert records(read_parquet(store.objects[part]), "event", "row") == [("e1", 0)]


def failed(data: bytes) -> bytes:
    """The document that Lambda leaves of a call with these bytes."""
    sent = {"awslogs": {"data": base64.b64encode(data).decode()}}
    return json.dumps({"requestPayload": sent}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"requestPayload": null}',
        b'{"requestPayload": {"awslogs": {"data": "no base64"}}}',
        failed(b"no gzip"),
        failed(
            gzip.compress(b'{"messageType": "DATA_MESSAGE"' + b" " * 100, mtime=0)[:-12]
        ),  # cut off
        failed(b"\x1f\x8b\x08" + b"\xff" * 40),
        failed(gzip.compress(b"[]", mtime=0)),
        failed(gzip.compress(b'{"messageType": "DATA_MESSAGE", "logGroup": "g"}', mtime=0)),
    ],
)
def test_what_is_no_delivery_is_named_and_stays_and_the_others_are_delivered(body: bytes) -> None:
    store = MemoryCaptures()
    store.put(f"{FAILED}a", body)
    sent = json.dumps({"requestPayload": delivery(lines_of("e1", [order("c1")]))}).encode()
    store.put(f"{FAILED}b", sent)
    damaged = [f"{FAILED}a"]
    assert compact(store, store, LATER) == Compacted(
        redelivered=1, hours=1, rows=1, damaged=damaged
    )
    assert store.keys("aws/") == damaged
    assert store.objects[f"{FAILED}a"] == body
