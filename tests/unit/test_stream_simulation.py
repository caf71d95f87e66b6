"""The scorer against an adversary: crashes around every call, repeats, races, other batches.

An event source in small invokes the scorer on ports in memory. Before and after each call of a
port the adversary may end the invocation (a crash, of which Lambda cuts the batch in halves), or
have the call fail (transient). What succeeded may be delivered again, and two invocations may run
at once on one shard, with other batches, taking turns at every call of a port. Whatever comes of
it: every good row is in the sink exactly once, every bad one and every poison record in the
quarantine exactly once, and the windows' sums are those of the records.
"""

from __future__ import annotations

import base64
import io
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from arro3 import io as arrow_io
from tests import onlinekit
from tests.streamkit import METER, NOW, arrivals, data, reading, sequence, tumbling

from quintet.codecs.streams import decode
from quintet.errors import Transient
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.streaming.alerts import AlertDesk, MemoryAlertBook, MemoryTeller
from quintet.streaming.flows import Arrivals, Tumbling
from quintet.streaming.latest import MemoryLatest
from quintet.streaming.marks import MemoryMarks
from quintet.streaming.scorer import Outcome, Scorer
from quintet.streaming.sink import MemorySink
from quintet.streaming.windows import MemoryWindows

MODEL = OnnxModel(METER, onlinekit.log_graph())


class Crash(BaseException):
    """The invocation ended here."""


class Adversary:
    """Decides at every call of a port what becomes of it; `turn` lets another invocation go on."""

    def __init__(self, seed: int, rate: float) -> None:
        self.random = random.Random(seed)
        self.rate = rate
        self.turn: Callable[[], None] = lambda: None

    def strike(self, after: bool) -> None:
        """Raise, or not."""
        self.turn()
        draw = self.random.random()
        if draw < self.rate / 2:
            raise Crash
        if draw < self.rate:
            raise Transient("struck " + ("after" if after else "before"))


class Struck:
    """A port with the adversary around its calls."""

    def __init__(self, port: Any, adversary: Adversary) -> None:
        self._port = port
        self._adversary = adversary

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def struck(*given: Any) -> Any:
            self._adversary.strike(after=False)
            found = call(*given)
            self._adversary.strike(after=True)
            return found

        return struck


@dataclass
class World:
    """What outlives invocations."""

    sink: MemorySink = field(default_factory=MemorySink)
    marks: MemoryMarks = field(default_factory=MemoryMarks)
    latest: MemoryLatest = field(default_factory=MemoryLatest)
    book: MemoryAlertBook = field(default_factory=MemoryAlertBook)
    teller: MemoryTeller = field(default_factory=MemoryTeller)
    windows: MemoryWindows = field(default_factory=MemoryWindows)

    def scorer(self, adversary: Adversary | None = None) -> Scorer:
        """A scorer on its ports, each with the adversary around it."""
        ports: list[Any] = [
            self.sink,
            self.marks,
            self.latest,
            self.book,
            self.teller,
            self.windows,
        ]
        if adversary is not None:
            ports = [Struck(port, adversary) for port in ports]
        sink, marks, latest, book, teller, windows = ports
        return Scorer(
            decode=lambda found: decode(found, lambda name: MODEL, "log"),
            features=MemoryFeatures(),
            sink=sink,
            marks=marks,
            latest=latest,
            alerts=AlertDesk(book, [teller]),
            windows=windows,
            clock=lambda: NOW + 1,
        )

    def predictions(self) -> Counter[tuple[str, int]]:
        """Sequence and row of all rows in the sink."""
        found: Counter[tuple[str, int]] = Counter()
        for key, stored in self.sink.objects.items():
            if key.startswith("predictions/"):
                table = arrow_io.read_parquet(io.BytesIO(stored.body)).read_all()
                places = (table["sequence"].to_pylist(), table["row"].to_pylist())
                found.update(zip(*places, strict=True))
        return found

    def quarantine(self) -> list[dict[str, Any]]:
        """All lines of the quarantine."""
        return [
            json.loads(line)
            for key, stored in self.sink.objects.items()
            if key.startswith("quarantine/")
            for line in stored.body.splitlines()
        ]


@dataclass
class Records:
    """The records of a shard, and what they are to come to."""

    data: list[bytes] = field(default_factory=list)
    good: Counter[tuple[str, int]] = field(default_factory=Counter)
    bad: dict[tuple[str, int | None], bytes] = field(default_factory=dict)
    sums: dict[str, tuple[int, float]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, count: int, seed: int) -> Records:
        """Records of one to three rows, one in ten of them poison, one row in ten refused."""
        draw = random.Random(seed)
        found = cls()
        for number in range(count):
            if draw.random() < 0.1:
                found.data.append(draw.choice([b"", b"{", b"\xff\xfe", b'"text"', b"[]"]))
                found.bad[sequence(number), None] = found.data[-1]
                continue
            rows = []
            for _ in range(draw.choice([1, 1, 1, 3])):
                x = 0.0 if draw.random() < 0.1 else float(draw.randint(1, 30))
                rows.append(reading(f"m{draw.randint(1, 4)}", x, cost=float(draw.randint(1, 9))))
            found.data.append(data(*rows))
            for place, row in enumerate(rows):
                found._row(sequence(number), place, row)
        return found

    def _row(self, at: str, place: int, row: dict[str, Any]) -> None:
        meter = row["meter"]
        count, total = self.sums.get(meter, (0, 0.0))
        self.sums[meter] = (count + 1, total + row["cost"])
        if row["x"] == 0.0:  # the logarithm of zero is no answer, but the row is aggregated
            self.bad[at, place] = self.data[-1]
        else:
            self.good[at, place] += 1
            self.last[meter] = at

    def arrivals(self, start: int, end: int) -> Arrivals:
        """Some of them."""
        return arrivals(*self.data[start:end], first=start)


def check(world: World, records: Records) -> None:
    """Hold what is there to what is to be there."""
    assert world.predictions() == records.good
    lines = world.quarantine()
    assert Counter((line["sequence"], line["row"]) for line in lines) == Counter(
        dict.fromkeys(records.bad, 1)
    )
    for line in lines:
        if line["data"] is not None:
            kept = base64.b64decode(line["data"])
            assert kept == records.bad[line["sequence"], line["row"]]
    with_bytes = {line["sequence"] for line in lines if line["data"] is not None}
    assert with_bytes == {line["sequence"] for line in lines}
    window = world.windows.read("log", NOW)
    assert window is not None
    sums = {e: (v["readings"], v["spent"]) for e, v in window.entities.items()}
    assert sums == records.sums
    assert {key[2]: one.sequence for key, one in world.latest.stored.items()} == records.last
    told = {alert.entity for alert in world.teller.alerts}
    assert told == {raised.alert.entity for raised in world.book.stored.values()}
    assert all(raised.sent for raised in world.book.stored.values())


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
            found = self.invoke(self.records.arrivals(0, 0), final)
            if found is not None:
                return

    def attempt(self, end: int) -> int:
        """Invoke with the records up to `end`; up to where to go on, before others are read."""
        draw, batch = self.adversary.random, self.records.arrivals(self.at, end)
        if draw.random() < 0.25:  # another invocation with more or fewer of them
            most = min(len(self.records.data), self.at + 40)
            other = self.records.arrivals(self.at, draw.randint(self.at + 1, most))
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

    def invoke(self, batch: Arrivals, window: Tumbling) -> Outcome | None:
        """One invocation; None if it crashed, or had nothing to return."""
        try:
            return self.world.scorer(self.adversary).take(batch, window)
        except Crash:
            return None
        except Transient:
            assert not batch.sequences
            return None


def race(source: Source, *batches: Arrivals) -> Sequence[Outcome | None]:
    """Invocations at once, taking turns at every call of a port by the adversary's will."""
    found: list[Outcome | None] = [None] * len(batches)
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
    ids = [alert.id for alert in world.teller.alerts]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("seed", range(20))
def test_the_sums_of_a_crash_are_not_those_of_its_repeat(seed: int) -> None:
    """What crashes most: three strikes of ten."""
    records = Records.made(20, seed)
    world = World()
    Source(world, records, Adversary(1000 + seed, rate=0.12)).run()
    check(world, records)


def test_arrivals_are_not_changed() -> None:
    batch = Records.made(30, 3).arrivals(0, 30)
    before = list(batch.data), batch.arrived.copy()
    World().scorer().take(batch, tumbling())
    assert list(batch.data) == before[0]
    assert np.array_equal(batch.arrived, before[1])
