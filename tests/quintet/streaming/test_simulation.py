"""The scorer against an adversary: crashes around every call, repeats, races, other batches.

An event source in small invokes the scorer on ports in memory. Before and after each call of a
port the adversary may end the invocation (a crash, of which Lambda cuts the batch in halves), or
have the call fail (transient). What succeeded may be delivered again, and two invocations may run
at once on one shard, with other batches, taking turns at every call of a port. Whatever comes of
it: every good row is in the sink exactly once, every bad one and every poison record in the
quarantine exactly once, and the windows' sums are those of the records.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tests.kits.captures import records as captured
from tests.kits.stream_world import CAPTURED, Adversary, Crash, Records, World, check
from tests.kits.streams import NOW, tumbling

from quintet.captures.compaction import compact
from quintet.captures.tables import read_parquet
from quintet.errors import Transient
from quintet.streaming.model_rows import ShardBatch, TumblingWindow
from quintet.streaming.scorer import ShardOutcome


class Source:
    """The event source of one shard in one window."""

    def __init__(self, world: World, records: Records, adversary: Adversary) -> None:
        self.world = world
        self.records = records
        self.adversary = adversary
        self.state: Any = {}
        self.at = 0

    def run(self) -> None:
        """All records, and the last call of the window."""
        while self.at < len(self.records.data):
            end = min(len(self.records.data), self.at + self.adversary.random.randint(1, 40))
            while end > self.at:
                end = self.attempt(end)
        while True:
            final = tumbling(state=self.state, final=True)
            found = self.invoke(self.records.shard_batch(0, 0), final)
            if found is not None:
                return

    def attempt(self, end: int) -> int:
        """Invoke with the records up to `end`; up to where to go on, before others are read."""
        draw, batch = self.adversary.random, self.records.shard_batch(self.at, end)
        if draw.random() < 0.25:  # another invocation with more or fewer of them
            most = min(len(self.records.data), self.at + 40)
            other = self.records.shard_batch(self.at, draw.randint(self.at + 1, most))
            found, _ = race(self, batch, other)
        else:
            found = self.invoke(batch, tumbling(state=self.state))
        if found is None:  # it crashed: in halves
            return self.at + max(1, (end - self.at) // 2)
        if found.failed is not None:
            assert found.failed == batch.sequences[0]
            assert found.state == self.state
            return end
        if draw.random() < 0.2:  # delivered again, the answer is lost
            self.invoke(batch, tumbling(state=self.state))
        self.at, self.state = end, json.loads(json.dumps(found.state))
        return end

    def invoke(self, batch: ShardBatch, window: TumblingWindow) -> ShardOutcome | None:
        """One invocation; None if it crashed, or had nothing to return."""
        try:
            return self.world.scorer(self.adversary).take(batch, window)
        except Crash:
            return None
        except Transient:
            assert not batch.sequences
            return None


def race(source: Source, *batches: ShardBatch) -> Sequence[ShardOutcome | None]:
    """Invocations at once, taking turns at every call of a port by the adversary's will."""
    found: list[ShardOutcome | None] = [None] * len(batches)
    gates = [threading.Semaphore(0) for _ in batches]
    back = threading.Semaphore(0)
    running = set(range(len(batches)))
    me = threading.local()

    def turn() -> None:
        back.release()
        gates[me.number].acquire()

    def work(number: int) -> None:
        me.number = number
        gates[number].acquire()
        try:
            found[number] = source.invoke(batches[number], tumbling(state=source.state))
        finally:
            running.discard(number)
            back.release()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(batches))]
    source.adversary.turn = turn
    for thread in threads:
        thread.start()
    while running:
        gates[source.adversary.random.choice(sorted(running))].release()
        back.acquire()
    for thread in threads:
        thread.join()
    source.adversary.turn = lambda: None
    return found


@pytest.mark.parametrize("seed", range(40))
def test_every_record_comes_to_one_end(seed: int) -> None:
    records = Records.made(120, seed)
    world = World()
    Source(world, records, Adversary(seed, rate=0.05)).run()
    check(world, records)


def test_nothing_happens_to_a_calm_stream_twice() -> None:
    records = Records.made(200, 1)
    world = World()
    source = Source(world, records, Adversary(1, rate=0.0))
    source.run()
    check(world, records)
    ids = [alert.id for alert in world.alert_channel.alerts]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("seed", range(20))
def test_the_sums_of_a_crash_are_not_those_of_its_repeat(seed: int) -> None:
    """What crashes most: three strikes of ten."""
    records = Records.made(20, seed)
    world = World()
    Source(world, records, Adversary(1000 + seed, rate=0.12)).run()
    check(world, records)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("rate", [0.0, 0.06])
def test_what_a_producer_sends_again_counts_once(seed: int, rate: float) -> None:
    records = Records.sent_again(90, seed)
    world = World()
    Source(world, records, Adversary(seed, rate)).run()
    check(world, records)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("made", [Records.made, Records.sent_again])
def test_every_row_is_captured_and_after_compaction_once(
    made: Callable[[int, int], Records], seed: int
) -> None:
    """With a tenth of all calls of ports failing, half of them after they took effect."""
    records = made(90, seed)
    world = World(CAPTURED)
    Source(world, records, Adversary(2000 + seed, rate=0.1)).run()
    check(world, records)
    objects = world.captures
    done = compact(objects, objects, NOW + 7200)
    assert done.left == 0
    assert not objects.keys("raw/")
    (key,) = objects.objects
    rows = read_parquet(objects.objects[key])
    found = Counter(captured(rows, "outcome", "record", "row"))
    bad_rows = [place for place in records.bad if place[1] is not None]
    assert found == Counter(
        [("scored", *place) for place in records.good] + [("refused", *place) for place in bad_rows]
    )
    assert done.duplicates > 0


def test_arrivals_are_not_changed() -> None:
    batch = Records.made(30, 3).shard_batch(0, 30)
    before = list(batch.data), batch.arrived.copy()
    World().scorer().take(batch, tumbling())
    assert list(batch.data) == before[0]
    assert np.array_equal(batch.arrived, before[1])
