"""Windows: any cut of the rows into calls, parts and shards gives the aggregates of all rows."""

from __future__ import annotations

import contextlib
import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.windows import ALL, NOTHING, PLAIN, Row, Shard, arrive, by_hand, close_to, contract

from quintet.contract import Aggregate
from quintet.errors import Transient
from quintet.features import StoredValue
from quintet.streaming import window_state, windows
from quintet.streaming.model_rows import TumblingWindow
from quintet.streaming.parts import Counters
from quintet.streaming.windows import MemoryWindows, Part, advance

ROWS = st.lists(
    st.builds(
        Row,
        entity=st.sampled_from("abc"),
        x=st.floats(-1e6, 1e6, allow_subnormal=False),
        word=st.sampled_from(["", "x", "yy", "ä"]),
        at=st.integers(0, 119).map(float),
    ),
    min_size=1,
    max_size=40,
)


class Failing:
    """A window store that fails after it has stored some of the parts, while it is told to."""

    def __init__(self) -> None:
        self.stored = MemoryWindows()
        self.fail_after: int | None = None

    def close(self, parts: Sequence[Part]) -> None:
        """See `WindowStore.close`."""
        self.stored.close(parts[: self.fail_after])
        if self.fail_after is not None:
            raise Transient("the table is away")


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, data=st.data())
def test_any_cut_into_calls_parts_and_shards_gives_the_aggregates_of_all(
    rows: list[Row], data: st.DataObject
) -> None:
    store = MemoryWindows()
    model = contract(window=60.0, lateness=1000.0)
    shards = [
        Shard(
            store,
            name=f"events/shard-{n}",
            max_state=data.draw(st.sampled_from([900, 2000, 10**6])),
        )
        for n in range(2)
    ]
    left = list(rows)
    # `last` of equal times is told by the sequence number: here the order of sending
    sent = 1
    while left:
        size = data.draw(st.integers(1, len(left)))
        some, left = left[:size], left[size:]
        shard = data.draw(st.sampled_from(shards))
        shard.next = sent
        sent += size
        how = data.draw(st.sampled_from(["go on", "early", "final"]))
        shard.call(model, some, final=how == "final", early=how == "early")
        if how == "final":
            shard.turn()
    for shard in shards:
        shard.call(model, [], final=True)
    for start in (0.0, 60.0):
        mine = [row for row in rows if start <= row.at < start + 60]
        window = store.read("shop", start)
        if window is None:
            assert not mine
            continue
        assert close_to(window.entities, by_hand(mine)), (window.entities, by_hand(mine))
        assert window.counters.records == len(mine)
    newest = {
        row.entity: max(r.at // 60 * 60 for r in rows if r.entity == row.entity) for row in rows
    }
    for entity, start in newest.items():
        window = store.read("shop", start)
        assert window is not None
        stored = store.features.values["customer", entity]
        assert {item.at for item in stored.values()} == {start + 60}
        served = {entity: {name: item.value for name, item in stored.items()}}
        assert close_to(served, {entity: window.entities[entity]})


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, data=st.data())
def test_calls_that_fail_anywhere_and_are_repeated_with_other_records_change_nothing(
    rows: list[Row], data: st.DataObject
) -> None:
    store, model = Failing(), contract(window=60.0, lateness=1000.0)
    shard = Shard(store, max_state=data.draw(st.sampled_from([700, 2000, 10**6])))
    left = list(rows)
    while left:
        size = data.draw(st.integers(1, len(left)))
        how = data.draw(st.sampled_from(["go on", "store fails", "lost reply"]))
        ending = data.draw(st.sampled_from(["no", "no", "final", "early"]))
        kind = {"final": ending == "final", "early": ending == "early"}
        if how == "go on":
            shard.call(model, left[:size], **kind)
            left = left[size:]
            if ending == "final":
                shard.turn()
        elif how == "lost reply":
            shard.call(model, left[:size], accept=False, **kind)
        else:
            store.fail_after = data.draw(st.integers(0, 2))
            with contextlib.suppress(Transient):
                shard.call(model, left[:size], accept=False, **kind)
            store.fail_after = None
    shard.call(model, [], final=True)
    for start in (0.0, 60.0):
        mine = [row for row in rows if start <= row.at < start + 60]
        window = store.stored.read("shop", start)
        assert close_to({} if window is None else window.entities, by_hand(mine))
        assert (Counters() if window is None else window.counters).records == len(mine)
        for entity in {row.entity for row in mine if start == 60.0}:
            stored = store.stored.features.values["customer", entity]
            assert window is not None
            served = {entity: {name: item.value for name, item in stored.items()}}
            assert close_to(served, {entity: window.entities[entity]})


class Held:
    """A window store that a call hangs at: its parts come later, or never."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def close(self, parts: Sequence[Part]) -> None:
        """See `WindowStore.close`."""
        self.parts += parts


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, data=st.data())
def test_parts_of_calls_that_hang_hide_none_whenever_they_come(
    rows: list[Row], data: st.DataObject
) -> None:
    store, model = MemoryWindows(), contract(window=60.0, lateness=1000.0)
    shard = Shard(store, max_state=data.draw(st.sampled_from([700, 2000])))
    late: list[Held] = []
    left = list(rows)
    while left:
        for _ in range(data.draw(st.integers(0, 2))):
            late.append(Held())
            other = replace(
                shard, store=late[-1], max_state=data.draw(st.sampled_from([700, 2000]))
            )
            size = data.draw(st.integers(1, len(left)))
            other.call(model, left[:size], early=data.draw(st.booleans()), accept=False)
        size = data.draw(st.integers(1, len(left)))
        shard.call(model, left[:size], early=data.draw(st.booleans()))
        left = left[size:]
        if data.draw(st.booleans()) and late:
            store.close(late.pop(0).parts)
    shard.call(model, [], final=True)
    for held in late:
        store.close(held.parts)
    for start in (0.0, 60.0):
        mine = [row for row in rows if start <= row.at < start + 60]
        window = store.read("shop", start)
        assert close_to({} if window is None else window.entities, by_hand(mine))
        assert (Counters() if window is None else window.counters).records == len(mine)


def test_a_late_part_of_another_cut_hides_none() -> None:
    """A call with ten records hangs; it is repeated with five, and the other five follow."""
    store, model = MemoryWindows(), contract(PLAIN)
    shard, hung = Shard(store, max_state=100), Held()
    rows = [Row("ann", float(number)) for number in range(10)]
    replace(shard, store=hung).call(model, rows, accept=False)
    shard.call(model, rows[:5])
    shard.call(model, rows[5:])
    store.close(hung.parts)
    window = store.read("shop", 0.0)
    assert window is not None
    assert (window.counters.records, window.entities["ann"]["orders"]) == (10, 10)


def test_windows_by_arrival_are_those_of_the_event_source() -> None:
    store, model = MemoryWindows(), contract(PLAIN)
    shard = Shard(store, start=600.0)
    shard.call(model, [Row("ann", 1.0, at=5.0), Row("bob", 2.0, at=5.0)])
    shard.call(model, [Row("ann", 3.0, at=700.0)])
    assert store.parts == {}
    assert shard.call(model, [], final=True).state == {}
    shard.turn()
    shard.call(model, [Row("ann", 9.0)], final=True)
    assert store.starts("shop") == [600.0, 630.0]
    window = store.read("shop", 600.0)
    assert window == windows.Window(
        "shop",
        600.0,
        30.0,
        {
            "ann": {
                "orders": 2,
                "pounds": 4.0,
                "mean_x": 2.0,
                "least_x": 1.0,
                "most_x": 3.0,
                "spread_x": 1.0,
            },
            "bob": {
                "orders": 1,
                "pounds": 2.0,
                "mean_x": 2.0,
                "least_x": 2.0,
                "most_x": 2.0,
                "spread_x": 0.0,
            },
        },
        Counters(records=3),
        1,
    )
    served = store.features.fetch("customer", ["ann", "bob"], ["orders", "pounds"])
    assert served == {
        "ann": {"orders": StoredValue(1, 660.0), "pounds": StoredValue(9.0, 660.0)},
        "bob": {"orders": StoredValue(1, 630.0), "pounds": StoredValue(2.0, 630.0)},
    }


def test_late_and_out_of_order_and_future_rows_are_counted_by_window() -> None:
    store, model = MemoryWindows(), contract(PLAIN, window=60.0, lateness=10.0)
    shard = Shard(store)
    first = shard.call(
        model,
        [
            Row("ann", at=65.0, arrived=66.0),
            Row("ann", at=59.0, arrived=70.0),  # 10 s after the end: still in time
            Row("ann", at=58.0, arrived=70.1),  # late
            Row("ann", at=900.0, arrived=71.0, counted=False),  # ahead of the clock
            Row("", at=float("nan"), arrived=71.0, counted=False),  # refused for something else
            Row("ann", at=72.0, arrived=71.0, counted=False),  # and this one, though of our time
        ],
    )
    assert first.counts == Counters(records=2, late=1, out_of_order=1, future=1)
    second = shard.call(model, [Row("ann", at=64.0, arrived=72.0)], final=True)
    assert second.counts == Counters(records=1, out_of_order=1)
    read = {start: store.read("shop", start) for start in store.starts("shop")}
    assert {start: window and window.counters for start, window in read.items()} == {
        0.0: Counters(records=1, late=1, out_of_order=1),
        60.0: Counters(records=2, out_of_order=1, future=1),
    }
    assert [window and window.entities["ann"]["orders"] for window in read.values()] == [1, 2]


def test_counters_of_windows_that_a_later_call_begins_are_kept() -> None:
    store, model = MemoryWindows(), contract(PLAIN, window=60.0)
    shard = Shard(store)
    shard.call(model, [Row("ann", at=5.0, arrived=5.0)])
    shard.call(model, [Row("ann", at=65.0, arrived=65.0)], final=True)
    read = [store.read("shop", start) for start in (0.0, 60.0)]
    assert [window and window.counters for window in read] == [Counters(records=1)] * 2


def test_no_row_is_out_of_order_after_late_ones_alone() -> None:
    shard = Shard(MemoryWindows())
    model = contract(PLAIN, window=60.0)
    assert shard.call(model, [Row("ann", at=1.0, arrived=500.0)]).counts == Counters(late=1)
    assert shard.state["models"]["shop"]["greatest"] is None
    found = shard.call(model, [Row("ann", at=499.0, arrived=500.0)])
    assert found.counts == Counters(records=1)


def test_times_of_before_there_was_time_are_late_in_one_window() -> None:
    store, model = MemoryWindows(), contract(PLAIN, window=60.0)
    rows = [Row("ann", at=at, arrived=500.0) for at in (-1e300, -61.0, -5.0, 2.0)]
    found = Shard(store).call(model, rows, final=True)
    assert (found.counts, found.parts) == (Counters(late=4), 1)
    assert store.starts("shop") == [0.0]


def test_a_window_of_late_rows_alone_has_counters_and_no_entities() -> None:
    store, model = MemoryWindows(), contract(window=60.0)
    Shard(store).call(model, [Row("ann", at=1.0, arrived=500.0)], final=True)
    window = store.read("shop", 0.0)
    assert window is not None
    assert (window.entities, window.counters) == ({}, Counters(late=1))
    assert store.features.values == {}


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "state",
        {"count": 3},
        {"form": 99, "models": {}},
        {"form": 1, "models": {"shop": {}}},
        {"form": 1, "models": {"shop": None}},
        {"form": 1, "models": []},
        {"form": 2, "models": {}},
        {"form": 2, "deflated": None},
        {"form": 2, "deflated": "not base64"},
        {"form": 2, "deflated": "bm8gemxpYg=="},
        {"form": 2, "deflated": b64encode(zlib.compress(b"[]")).decode()},
        {"form": 2, "deflated": b64encode(zlib.compress(b'{"shop": {}}')[:-5]).decode()},
    ],
    ids=str,
)
def test_a_state_that_is_none_of_ours_is_counted_and_begun_anew(state: object) -> None:
    store = MemoryWindows()
    shard_batch, model_rows = arrive(contract(), [Row("ann", 2.0)])
    found = advance(TumblingWindow(0.0, 30.0, state, True, False), shard_batch, [model_rows], store)
    assert (found.state_lost, found.state, found.parts) == (True, {}, 1)
    window = store.read("shop", 0.0)
    assert window is not None and window.entities["ann"]["pounds"] == 2.0


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_state_that_was_tampered_with_never_raises(data: st.DataObject) -> None:
    model = contract(window=60.0)
    shard_batch, model_rows = arrive(
        model, [Row("ann", 2.0), Row("bob", 3.0, at=70.0, arrived=80.0)]
    )
    store = MemoryWindows()
    state = advance(
        TumblingWindow(0.0, 30.0, {}, False, False), shard_batch, [model_rows], store
    ).state
    state = json.loads(json.dumps(state))
    node = state["models"]["shop"]
    junk: st.SearchStrategy[object] = st.sampled_from(
        [None, -1, 1e300, "zz", [], {}, [1, 2, 3], [None, None], True]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        target = data.draw(st.sampled_from([node, node.get("columns"), node.get("stream")]))
        if isinstance(target, dict) and target:
            target[data.draw(st.sampled_from(sorted(target)))] = data.draw(junk)
    advance(TumblingWindow(0.0, 30.0, state, True, False), shard_batch, [model_rows], store)


def test_a_state_past_the_limit_is_closed_as_a_part_and_the_batch_begins_another() -> None:
    store, model = MemoryWindows(), contract(PLAIN)
    shard = Shard(store, max_state=2000)
    crowd = [Row(f"customer {number}", float(number)) for number in range(40)]
    first = shard.call(model, crowd[:20])
    assert (first.parts, first.spilled) == (0, False)
    second = shard.call(model, crowd)
    assert (second.parts, second.spilled) == (2, True), "the batch alone is too large, too"
    assert second.state == {}
    third = shard.call(model, crowd[:20])
    assert (third.parts, third.spilled) == (0, False)
    assert shard.call(model, [], final=True).parts == 1
    window = store.read("shop", 0.0)
    assert window is not None and window.parts == 3
    assert window.counters == Counters(records=80)
    assert [v["orders"] for v in window.entities.values()].count(3) == 20
    assert {v.value for v in store.features.values["customer", "customer 7"].values()} == {
        3,
        21.0,
        7.0,
        0.0,
    }


def test_a_large_state_is_passed_on_deflated() -> None:
    store, model = MemoryWindows(), contract(ALL)
    shard = Shard(store)
    few = [Row(f"customer {n}", float(n), f"w{n}", at=1.0) for n in range(20)]
    assert shard.call(model, few).state["form"] == 1
    many = [Row(f"customer {n}", n + 0.5, f"w{n}", at=2.0) for n in range(1000)]
    for _ in range(2):
        assert shard.call(model, many).state.keys() == {"form", "deflated"}
    assert len(shard.state["deflated"]) < 50_000
    assert shard.call(model, [], final=True).parts == 1
    window = store.read("shop", 0.0)
    assert window is not None
    assert close_to(window.entities, by_hand(few + many + many))


def test_state_is_measured_in_bytes_and_stays_under_the_limit() -> None:
    store, model = MemoryWindows(), contract(ALL)
    shard = Shard(store)
    sizes, spilled = [], []
    noise = np.random.default_rng(1).normal(size=(8, 1000)).tolist()
    for number, values in enumerate(noise):
        crowd = [Row(f"käufer {number} {n}", x, f"{x}", at=1.0) for n, x in enumerate(values)]
        found = shard.call(model, crowd)
        sizes.append(
            len(json.dumps(found.state, ensure_ascii=False, separators=(",", ":")).encode())
        )
        spilled.append(found.spilled)
    assert max(sizes) <= windows.MAX_STATE
    assert not any(spilled[:2])
    assert any(spilled)
    assert len(store.parts["shop", 0.0]) >= 1
    shard.call(model, [], final=True)
    window = store.read("shop", 0.0)
    assert window is not None and window.counters.records == 8000 and len(window.entities) == 8000


def test_an_early_end_closes_a_part_and_the_window_goes_on() -> None:
    store, model = MemoryWindows(), contract(PLAIN)
    shard = Shard(store)
    shard.call(model, [Row("ann", 1.0)])
    assert shard.call(model, [Row("ann", 2.0)], early=True).state == {}
    shard.call(model, [Row("ann", 4.0)])
    shard.call(model, [], final=True)
    window = store.read("shop", 0.0)
    assert window is not None
    assert (window.parts, window.entities["ann"]["pounds"]) == (2, 7.0)
    assert store.features.values["customer", "ann"]["pounds"] == StoredValue(7.0, 30.0)


def test_a_contract_that_changes_within_a_window_closes_what_was_gathered_for_the_other() -> None:
    store = MemoryWindows()
    shard = Shard(store)
    shard.call(contract(PLAIN), [Row("ann", 1.0), Row("bob", 5.0)])
    more = (*PLAIN, Aggregate(name="last_x", how="last", of="x"))
    assert shard.call(contract(more), [Row("ann", 2.0)]).parts == 1
    shard.call(contract(more), [], final=True)
    window = store.read("shop", 0.0)
    assert window is not None
    assert (window.parts, window.counters.records) == (2, 3)
    assert window.entities["ann"]["last_x"] == 2.0
    assert window.entities["bob"]["pounds"] == 5.0


def test_models_without_a_stream_are_passed_over_and_models_share_a_window() -> None:
    store = MemoryWindows()
    shard_batch, one = arrive(contract(PLAIN), [Row("ann", 1.0)])
    other = arrive(contract(PLAIN, name="other"), [Row("ann", 2.0)])[1]
    none = arrive(contract((), name="none"), [Row("ann", 2.0)])[1]
    tumbling = TumblingWindow(0.0, 30.0, {}, False, False)
    state = advance(tumbling, shard_batch, [one, other, none], store).state
    final = TumblingWindow(0.0, 30.0, json.loads(json.dumps(state)), True, False)
    assert advance(final, NOTHING, [], store).parts == 2
    assert {model: store.starts(model) for model in ("shop", "other", "none")} == {
        "shop": [0.0],
        "other": [0.0],
        "none": [],
    }


def test_entities_that_are_too_long_for_a_key_are_left_out() -> None:
    store = MemoryWindows()
    Shard(store).call(contract(PLAIN), [Row("a" * 2000), Row("ann")], final=True)
    window = store.read("shop", 0.0)
    assert window is not None
    assert (list(window.entities), window.counters.records) == (["ann"], 1)


def test_the_last_of_equal_times_is_the_one_with_the_greater_sequence_number() -> None:
    store, model = MemoryWindows(), contract(ALL)
    one, other = Shard(store, name="events/shard-1"), Shard(store, name="events/shard-0")
    one.next, other.next = 9, 10  # as numbers, not as texts
    one.call(model, [Row("ann", 1.0, "one", at=5.0)], final=True)
    other.call(model, [Row("ann", 2.0, "other", at=5.0)], final=True)
    window = store.read("shop", 0.0)
    assert window is not None
    assert (window.entities["ann"]["last_x"], window.entities["ann"]["last_word"]) == (2.0, "other")
    assert store.features.values["customer", "ann"]["last_word"].value == "other"


def test_a_state_of_numbers_at_the_end_of_their_range_stays_json() -> None:
    store, model = MemoryWindows(), contract(ALL)
    shard = Shard(store)
    most = float(np.finfo(np.float64).max)
    for _ in range(3):
        found = shard.call(model, [Row("ann", most), Row("ann", most), Row("bob", -most)])
        json.dumps(found.state, allow_nan=False)
    shard.call(model, [], final=True)
    window = store.read("shop", 0.0)
    assert window is not None
    assert window.entities["ann"]["pounds"] == most
    assert window.entities["bob"]["least_x"] == -most


#: of two windows, with the second row of bob out of order
TWO = (
    Row("bob", 1.0, at=5.0, arrived=6.0),
    Row("ann", 2.0, at=65.0, arrived=66.0),
    Row("bob", 3.0, at=59.0, arrived=70.0),
)


def test_a_state_has_these_fields() -> None:
    model = contract(PLAIN[:4], window=60.0, lateness=10.0)
    shard = Shard(MemoryWindows())
    found = shard.call(model, TWO)
    assert (found.counts, found.parts) == (Counters(records=3, out_of_order=1), 0)
    assert shard.state == {
        "form": 1,
        "models": {
            "shop": {
                "entity": "customer",
                "stream": {
                    "aggregates": [
                        {"name": "orders", "how": "count", "of": None, "description": ""},
                        {"name": "pounds", "how": "sum", "of": "x", "description": ""},
                        {"name": "mean_x", "how": "mean", "of": "x", "description": ""},
                        {"name": "least_x", "how": "min", "of": "x", "description": ""},
                    ],
                    "time": "at",
                    "window": 60.0,
                    "allowed_lateness": 10.0,
                },
                "length": 60.0,
                "first": "1",
                "last": "3",
                "greatest": 65.0,
                "counters": [[0.0, 2, 0, 1, 0], [60.0, 1, 0, 0, 0]],
                "starts": [0.0, 60.0],
                "which": [0, 1],
                "entities": ["bob", "ann"],
                "columns": {
                    "n": [2, 1],
                    "sum:x": [4.0, 2.0],
                    "min:x": [1.0, 2.0],
                },
            }
        },
    }


def test_parts_are_of_one_window_each_with_entities_in_order() -> None:
    held, model = Held(), contract(PLAIN[:2], window=60.0, lateness=10.0)
    shard = Shard(held, start=30.0)
    shard.call(model, TWO)
    late = Row("cid", at=3.0, arrived=71.0)
    shard.call(model, [Row("abe", 5.0, at=66.0, arrived=71.0), late], final=True)
    assert [
        (part.model, part.entity, part.stream, part.shard, part.arrival, part.length)
        for part in held.parts
    ] == [("shop", "customer", model.stream, "events/shard-0", 30.0, 60.0)] * 2
    assert [
        (
            part.start,
            part.first,
            part.last,
            part.counters,
            part.partials.starts.tolist(),
            part.partials.entities,
            part.partials.columns["sum:x"].tolist(),
        )
        for part in held.parts
    ] == [
        (0.0, "1", "5", Counters(records=2, late=1, out_of_order=1), [0.0], ["bob"], [4.0]),
        (60.0, "1", "5", Counters(records=2), [60.0] * 2, ["abe", "ann"], [5.0, 2.0]),
    ]


def test_the_size_of_a_state_is_that_of_its_json() -> None:
    model = contract(PLAIN)
    gathered: dict[str, window_state.OpenPart] = {}
    forms = []
    for names in ([], ["ann"], [f"customer {n}" for n in range(1000)]):
        if names:
            shard = Shard(MemoryWindows())
            shard.call(model, [Row(name) for name in names])
            gathered = window_state.read(shard.state)
        state, size = window_state.write(gathered)
        assert size == len(orjson.dumps(state))
        forms.append(state.get("form"))
    assert forms == [None, 1, 2]


def test_whole_starts_of_windows_are_read_as_floats() -> None:
    """Whoever parses a state and writes it again may drop the fraction of 60.0."""
    shard = Shard(MemoryWindows())
    shard.call(contract(PLAIN, window=60.0, lateness=10.0), TWO)
    shard.state["models"]["shop"]["starts"] = [0, 60]
    starts = window_state.read(shard.state)["shop"].partials.starts
    assert (starts.dtype, starts.tolist()) == (np.dtype(np.float64), [0.0, 60.0])


@pytest.mark.parametrize(
    "changed",
    [
        {"entities": ["bob", 1]},
        {"entities": "ba"},
        {"entities": ["bob"]},
        {"which": [0]},
        {"which": [0.0, 1.0]},
        {"which": [0, 2]},
        {"starts": [0.0]},
        {"first": "-1"},
        {"last": "three"},
        {"counters": [["x", 1, 0, 0, 0]]},
        {"stream": {}},
        {"length": None},
    ],
    ids=str,
)
def test_a_state_with_a_field_that_is_not_ours_is_lost(changed: dict[str, object]) -> None:
    model = contract(PLAIN, window=60.0)
    shard = Shard(MemoryWindows())
    shard.call(model, TWO)
    assert shard.call(model, [], accept=False).state_lost is False
    shard.state["models"]["shop"] |= changed
    found = shard.call(model, [], final=True)
    assert (found.state_lost, found.parts, found.state) == (True, 0, {})


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"entities": [1, 2]}, "entities are texts"),
        ({"which": [0]}, "each entity has a window"),
        ({"first": "-1"}, "a sequence number has digits alone"),
        ({"length": None}, "no state of these windows"),
    ],
)
def test_what_is_wrong_with_a_state_is_said(changed: dict[str, object], text: str) -> None:
    shard = Shard(MemoryWindows())
    shard.call(contract(PLAIN, window=60.0), TWO)
    shard.state["models"]["shop"] |= changed
    with pytest.raises(ValueError, match=rf"^{text}$"):
        window_state.read(shard.state)
    with pytest.raises(ValueError, match=r"^another form of state$"):
        window_state.read({**shard.state, "form": 99})


def test_a_window_that_nothing_was_counted_of_has_counts_of_zero() -> None:
    held, model = Held(), contract(PLAIN, window=60.0, lateness=10.0)
    shard = Shard(held)
    shard.call(model, TWO)
    shard.state["models"]["shop"]["counters"] = []
    shard.call(model, [], final=True)
    assert [part.counters for part in held.parts] == [Counters()] * 2


def test_a_state_that_fits_exactly_is_handed_on() -> None:
    model = contract(PLAIN)
    rows = [Row("ann"), Row("bob")]
    free = Shard(MemoryWindows())
    before = len(orjson.dumps(free.call(model, rows).state))
    after = len(orjson.dumps(free.call(model, [Row("cid")]).state))
    assert before < after
    for most, spilled in ((after, False), (after - 1, True)):
        shard = Shard(MemoryWindows(), max_state=most)
        shard.call(model, rows)
        found = shard.call(model, [Row("cid")])
        assert (found.spilled, found.parts, found.state == {}) == (spilled, int(spilled), False)


def test_entities_of_exactly_the_longest_key_count() -> None:
    store = MemoryWindows()
    names = ["a" * windows.MAX_ENTITY, "b" * (windows.MAX_ENTITY + 1)]
    Shard(store).call(contract(PLAIN), [Row(name) for name in names], final=True)
    window = store.read("shop", 0.0)
    assert window is not None and list(window.entities) == names[:1]
