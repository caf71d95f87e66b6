"""An entity's captures are erased from every object, whatever happens at the same time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.captures import CAPTURED, delivery, lines_of, records, table
from tests.kits.models import NOW

from quintet.captures.compaction import Compacted, compact
from quintet.captures.delivery import deliver
from quintet.captures.erasure import Erased, erase, holding
from quintet.captures.queries import event_rows, find, load
from quintet.captures.store import MemoryCaptures
from quintet.errors import BadInput, Transient

DAY = 86_400


def filled(store: MemoryCaptures) -> MemoryCaptures:
    """Events of two customers: compacted, new, and failed."""
    for number, at in enumerate((NOW - DAY, NOW - 60, NOW)):
        lines = [
            *lines_of(f"a{number}", [{"customer": "c1", "amount": 1}] * 2, now=at),
            *lines_of(f"b{number}", [{"customer": "c2", "amount": 2}], now=at),
        ]
        sent = delivery(lines)
        if number == 2:
            body = json.dumps({"requestPayload": sent}).encode()
            store.put("aws/lambda/async/capture/2026/01/01/x", body)
        else:
            deliver(sent, store)
        if number == 0:
            compact(store, store, NOW)
    return store


def test_no_row_of_the_entity_is_left_and_no_other_is_lost() -> None:
    store = filled(MemoryCaptures())
    assert erase(store, store, "c1") == Erased(Counter(shop=6), objects=2, proved=2)
    assert records(table(store), "event", "entity") == [("b0", "c2"), ("b1", "c2"), ("b2", "c2")]
    assert store.keys("aws/") == []
    assert erase(store, store, "c1") == Erased(Counter(), objects=0, proved=2)


def test_an_object_without_other_rows_stays_empty_and_takes_new_ones() -> None:
    store = MemoryCaptures()
    deliver(delivery(lines_of("a", [{"customer": "c1", "amount": 1}])), store)
    erase(store, store, "c1")
    deliver(delivery(lines_of("b", [{"customer": "c2", "amount": 1}])), store)
    assert compact(store, store, NOW + 7200) == Compacted(hours=1, rows=1)
    assert records(table(store), "event") == [("b",)]


def test_only_the_named_models_are_erased() -> None:
    store = filled(MemoryCaptures())
    assert erase(store, store, "c1", models=["other"]).rows == Counter()
    assert sum(rows for _, rows in holding(store, "c1")) == 6
    assert erase(store, store, "c1", models=["shop", "other"]).rows == Counter(shop=6)


def test_damaged_objects_are_named_and_the_others_are_erased() -> None:
    store = filled(MemoryCaptures())
    (hourly,) = store.keys("captures/")
    (new,) = store.keys("raw/")
    failed = "aws/lambda/async/capture/2026/01/01/y"
    store.objects |= {hourly: b"PAR1 no more", failed: b"{"}
    done = erase(store, store, "c1")
    assert done == Erased(Counter(shop=4), objects=1, proved=1, unreadable=[hourly, failed])
    assert store.objects[hourly] == b"PAR1 no more"
    del store.objects[hourly], store.objects[failed]
    assert records(table(store), "event", "entity") == [("b1", "c2"), ("b2", "c2")]
    assert new not in store.objects


def test_a_reader_names_the_damaged_object() -> None:
    store = filled(MemoryCaptures())
    (hourly,) = store.keys("captures/")
    store.objects[hourly] = b"PAR1 no more"
    with pytest.raises(BadInput, match=f"{hourly}: expected an object of captures, got one that"):
        list(load(store, find(store)))


class Racing(MemoryCaptures):
    """A store in which something happens before each of the first swaps."""

    def __init__(self, *before: Callable[[MemoryCaptures], object]) -> None:
        super().__init__()
        self.before = list(before)
        self.racing = False

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `CaptureObjects.swap`."""
        if self.racing and self.before:
            self.racing = False
            self.before.pop(0)(self)
            self.racing = True
        return super().swap(key, body, tag)


def arriving(event: str) -> Callable[[MemoryCaptures], Any]:
    lines = lines_of(event, [{"customer": "c1", "amount": 3}], now=NOW)
    return lambda store: deliver(delivery(lines), store)


def test_what_arrives_or_is_compacted_meanwhile_is_erased_too() -> None:
    store = Racing(arriving("x"), lambda store: compact(store, store, NOW + 7200), arriving("y"))
    filled(store)
    store.racing = True
    erase(store, store, "c1")
    assert store.before == []
    assert list(holding(store, "c1")) == []
    assert records(table(store), "event") == [("b0",), ("b1",), ("b2",)]


def test_a_compaction_that_read_before_the_erasure_brings_nothing_back() -> None:
    erased = Racing(lambda store: erase(store, store, "c1"))
    deliver(delivery(lines_of("a", [{"customer": "c1", "amount": 1}])), erased)
    erased.racing = True
    assert compact(erased, erased, NOW + 7200).left == 1
    assert list(holding(erased, "c1")) == []


def test_nor_if_the_erasure_leaves_the_very_rows_that_the_compaction_read() -> None:
    store = Racing(lambda store: erase(store, store, "c1"))
    for event, customer in (("a", "c2"), ("b", "c1")):
        assert compact(store, store, NOW + 7200).left == 0
        deliver(delivery(lines_of(event, [{"customer": customer, "amount": 1}])), store)
    store.racing = True
    assert compact(store, store, NOW + 7200).left == 1
    assert records(table(store), "event", "entity") == [("a", "c2")]


def test_captures_that_never_rest_are_said() -> None:
    class Restless(MemoryCaptures):
        def swap(self, key: str, body: bytes, tag: str | None) -> bool:
            return False

    store = Restless()
    deliver(delivery(lines_of("a", [{"customer": "c1", "amount": 1}])), store)
    with pytest.raises(Transient, match="run the erasure again"):
        erase(store, store, "c1")


def test_captures_are_found_by_model_time_and_event() -> None:
    store = filled(MemoryCaptures())
    other = replace(CAPTURED, name="shop2")
    assert len(find(store)) == 2
    assert [place.hour.model for place in find(store, other.name)] == []
    assert len(find(store, "shop", since=NOW - 3600)) == 1
    assert len(find(store, "shop", until=NOW - 3600)) == 1
    (rows,) = load(store, find(store))
    assert rows.num_rows == 6
    (found,) = event_rows(store, "a1")
    assert records(found, "event", "row") == [("a1", 0), ("a1", 1)]
    assert list(event_rows(store, "none")) == []
    online = f"{int(NOW * 1000):012x}{'0' * 20}"
    deliver(delivery(lines_of(online, [{"customer": "c1", "amount": 9}])), store)
    (found,) = event_rows(store, online, "shop")
    assert records(found, "feature_amount") == [(9.0,)]
