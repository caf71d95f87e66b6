"""The parts of a recommendation alone: filters, exploration, the time budget, what is read."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from tests.kits.models import Clock

from quintet.captures.events import new_event
from quintet.contract import Filters
from quintet.errors import Transient
from quintet.features import MemoryFeatures, StoredValue
from quintet.recommend.budget import RunTimes
from quintet.recommend.exploration import explored
from quintet.recommend.filters import Exclusions, Listed, chosen
from quintet.recommend.reads import MemoryReads, Prefetched, Shown, ShownRuns


def test_an_item_is_filtered_for_the_first_reason_that_applies() -> None:
    sold_out = np.zeros(10, dtype=np.bool_)
    sold_out[[2, 3]] = True
    listed = Listed(np.array([0, 1, 2, 3, 99, 4, 5]), np.arange(7.0))
    out = Exclusions([2, 1], sold_out, 1, 9)
    found = chosen(listed, Filters(), out, 5)
    assert found.items == [4, 5]
    assert found.scores is not None
    assert found.scores.tolist() == [5.0, 6.0]
    assert found.filtered == {"unknown": [0, 99], "seen": [1, 2], "stock": [3], "category": []}
    shown = chosen(listed, Filters(seen=False), out._replace(sold_out=None), 3)
    assert (shown.items, shown.filtered["seen"]) == ([1, 2, 3], [])


def test_an_item_beyond_the_list_of_stock_is_not_sold_out() -> None:
    sold_out = np.array([False, False, True, True])
    out = Exclusions([], sold_out, 1, 9)
    found = chosen(Listed(np.array([7, 3, 1, -1])), Filters(), out, 5)
    assert found.items == [7, 1]
    assert found.filtered == {"unknown": [-1], "seen": [], "stock": [3], "category": []}


@pytest.mark.parametrize("seed", range(20))
def test_a_cap_of_a_category_is_that_of_a_plain_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    items = random.permutation(60)[:40] + 1
    categories = random.integers(-2, 5, 40)
    cap, top = int(random.integers(1, 4)), int(random.integers(1, 15))
    kept: list[int] = []
    left_out: list[int] = []
    counts: Counter[int] = Counter()
    for item, category in zip(items.tolist(), categories.tolist(), strict=True):
        if len(kept) == top:
            break
        (kept if counts[category] < cap else left_out).append(item)
        counts[category] += 1
    listed = Listed(items, None, categories, unknown=[])
    found = chosen(listed, Filters(per_category=cap), Exclusions([], None, 1, 60), top)
    assert found.items == kept
    assert found.filtered["category"] == left_out


def test_orders_are_drawn_with_their_propensities() -> None:
    count, share, times = 3, 0.4, 6_000
    orders = [explored(f"{number:032x}", count, share) for number in range(times)]
    seen = Counter(
        (position, place) for order in orders for position, place in enumerate(order.places)
    )
    for position, place in itertools.product(range(count), repeat=2):
        expected = share / count + (1 - share) * (position == place)
        deviation = (expected * (1 - expected) / times) ** 0.5
        assert seen[position, place] / times == pytest.approx(expected, abs=4 * deviation)
    for order in orders[:50]:
        assert order.propensity == pytest.approx(
            [share / count + (1 - share) * (at == of) for at, of in enumerate(order.places)]
        )
    drawn = sum(order.explored for order in orders) / times
    assert drawn == pytest.approx(share, abs=4 * (share * (1 - share) / times) ** 0.5)
    event = new_event()
    assert explored(event, 20, 1.0) == explored(event, 20, 1.0)
    assert explored(event, 20, 0.0).propensity == [1.0] * 20


def test_a_run_that_would_be_late_is_tried_again_later() -> None:
    times, version = RunTimes(), ("ranker", 1)
    assert times.fits(version, 49, 50)  # nothing is known
    assert not times.fits(version, 50, 50)
    times.add(version, 1000)  # the first, which loads
    assert times.fits(version, 10, 50)
    for took in (60, 80):
        times.add(version, took)
    assert [times.fits(version, 10, 50) for _ in range(3)] == [False, False, True]
    for took in (30, 30):
        times.add(version, took)
    assert times.fits(version, 20, 50)
    assert not times.fits(version, 21, 50)
    assert times.fits(("ranker", 2), 21, 50)


def test_a_known_run_is_used_while_the_store_is_down() -> None:
    clock, features = Clock(), MemoryFeatures()

    class Reads(MemoryReads):
        down = False

        def shown(self, model: str) -> Shown | None:
            if self.down:
                raise Transient("down")
            return super().shown(model)

    reads = Reads(features)
    runs = ShownRuns(reads, clock)
    assert runs.get("made") is None
    reads.runs["made"] = first = Shown("a", 1, 0.0)
    assert runs.get("made") is None
    clock.now += 1
    assert runs.get("made") == first
    reads.runs["made"] = second = Shown("b", 1, 0.0)
    clock.now += 9
    assert runs.get("made") == first
    reads.down = True
    clock.now += 2
    assert runs.get("made") == first
    reads.down = False
    clock.now += 1
    assert runs.get("made") == second
    reads.down = True
    with pytest.raises(Transient):
        runs.get("other")


def test_features_that_were_read_are_not_read_again() -> None:
    features = MemoryFeatures()
    features.put("user", "u", "other", 2.0, 5.0)
    read = {"taste": StoredValue(1.0, 3.0)}
    source = Prefetched("u", ["taste", "age"], read, features)
    assert source.fetch("user", ["u"], ["taste"]) == {"u": read}
    assert source.fetch("user", ["u"], ["other"]) == {"u": {"other": StoredValue(2.0, 5.0)}}
    assert Prefetched("u", ["taste"], {}, features).fetch("user", ["u"], ["taste"]) == {}
    with pytest.raises(Transient):
        Prefetched("u", ["taste"], None, features).fetch("user", ["u"], ["taste"])
