"""The event source's machine and the scorer together, on a clock that the test moves.

Shards fill, one splits and two merge, invocations take their time, fail, lose their answers or come
twice, and some records kill every invocation that gets them: what the local AWS does with a shard
(`quintet_local.sources.kinesis`), by the mapping of template.yaml, with what `score_stream` does of
it. No thread, no service and no clock of the machine is in it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.kits.aws import ROOT
from tests.kits.stream_world import Adversary, Crash, Records, World, check
from tests.kits.streams import NOW, data, reading, sequence

from quintet.errors import Transient
from quintet.streaming import kinesis_events
from quintet_local.plan import plan
from quintet_local.sources.kinesis import (
    Call,
    Discard,
    Finished,
    Lane,
    Record,
    Wait,
    answered,
    decide,
    gathered,
    room,
)
from quintet_local.sources.kinesis_answers import Answer
from quintet_local.sources.kinesis_config import Config, Position
from quintet_local.sources.kinesis_events import Source, event
from quintet_local.sources.kinesis_shards import Shard, Shards, listed
from quintet_local.template import load

TICK = 0.25
FAILED = Answer(b'{"errorMessage": "x"}', error=True)
ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/events"


def mapping() -> Config:
    """The mapping of template.yaml at its default settings."""
    resources = plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566")
    mappings = resources.of_type("AWS::Lambda::EventSourceMapping")
    return Config.of(mappings["ScoreStreamArrived"])


@dataclass
class Stream:
    """A stream: its shards, when each opens and closes, and the records in it, by arrival."""

    shards: dict[str, tuple[tuple[str, ...], float, float]]
    records: dict[str, list[Record]] = field(default_factory=dict)

    def put(self, number: int, body: bytes, arrived: float) -> None:
        """Put the `number`-th record into one of the shards that are open then."""
        names = [n for n, (_, opens, closes) in self.shards.items() if opens <= arrived < closes]
        record = Record(sequence(number), f"key-{number}", body, arrived)
        self.records.setdefault(names[number % len(names)], []).append(record)

    def listed(self, now: float) -> Iterable[Shard]:
        """The shards that there are by now."""
        for name, (parents, opens, closes) in self.shards.items():
            if opens <= now:
                yield Shard(name, parents, closed=closes <= now)


#: a shard splits after 20 s, two others merge after 40
RESHARDED: dict[str, tuple[tuple[str, ...], float, float]] = {
    "shardId-0": ((), 0, NOW + 20),
    "shardId-1": ((), 0, NOW + 40),
    "shardId-2": ((), 0, NOW + 40),
    "shardId-3": ((), 0, float("inf")),
    "shardId-4": (("shardId-0",), NOW + 20, float("inf")),
    "shardId-5": (("shardId-0",), NOW + 20, float("inf")),
    "shardId-6": (("shardId-1", "shardId-2"), NOW + 40, float("inf")),
}


@dataclass
class Reader:
    """One shard that is read: its lane, what is left to read, when its invocation is over."""

    left: list[Record]
    lane: Lane = field(default_factory=Lane)
    free: float = 0.0


@dataclass
class Lambda:
    """The event source of a stream, and the function.

    `invoke` gets an event and the moment when it has an answer, `seconds` after the call.
    """

    config: Config
    stream: Stream
    invoke: Callable[[dict[str, Any], float], Answer]
    seconds: float = 0.5
    shards: Shards = field(default_factory=lambda: Shards(Position()))
    readers: dict[str, Reader] = field(default_factory=dict)
    given_up: list[Discard] = field(default_factory=list)
    #: of each call, its shard and its window
    calls: list[tuple[str, int, str]] = field(default_factory=list)

    def run(self, until: float) -> None:
        """Move the clock."""
        now = NOW
        while now <= until:
            self.shards, ready = listed(self.shards, self.stream.listed(now))
            for name in ready:
                self.readers[name] = Reader(list(self.stream.records.get(name, ())))
            for name in list(self.readers):
                self._turn(name, now)
            now += TICK

    def _turn(self, name: str, now: float) -> None:
        """Let a shard do what it can do at this moment."""
        reader = self.readers[name]
        while reader.free <= now:
            self._feed(name, reader, now)
            reader.lane, action = decide(self.config, reader.lane, now)
            if isinstance(action, Call):
                reader.free = now + self.seconds
                self._call(name, reader, action)
            elif isinstance(action, Discard):
                self.given_up.append(action)
            elif isinstance(action, Finished):
                self.shards = self.shards.finished(name)
                del self.readers[name]
                return
            else:
                assert isinstance(action, Wait)
                return

    def _feed(self, name: str, reader: Reader, now: float) -> None:
        new: list[Record] = []
        while reader.left and reader.left[0].arrived <= now:
            if len(new) >= room(self.config, reader.lane):
                break
            new.append(reader.left.pop(0))
        caught_up = not reader.left or reader.left[0].arrived > now
        ended = caught_up and not reader.left and self.stream.shards[name][2] <= now
        reader.lane = gathered(reader.lane, tuple(new), now, now if caught_up else 0.0, ended)

    def _call(self, name: str, reader: Reader, call: Call) -> None:
        assert call.window is not None
        kind = "early" if call.window.early else "final" if call.final else "batch"
        self.calls.append((name, call.window.start, kind))
        source = Source("mapping", ARN, "function", "role", window=self.config.window)
        given = event(source, name, call.records, call.window, call.final)
        answer = self.invoke(json.loads(json.dumps(given)), reader.free)
        reader.lane = answered(self.config, reader.lane, call, answer, reader.free)


def scored(world: World, given: dict[str, Any], adversary: Adversary | None = None) -> Answer:
    """score_stream's answer to an event."""
    try:
        outcome = world.scorer(adversary).take(
            kinesis_events.shard_batch(given), kinesis_events.tumbling(given)
        )
    except (Crash, Transient):
        return FAILED
    return Answer(json.dumps(kinesis_events.answer(outcome.state, outcome.failed)).encode())


class Away:
    """A port whose service is away: every call of it is transient."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: object, **__: object) -> Any:
            raise Transient("the service is away")

        return call


def filled(records: Records, killers: dict[int, bytes], seconds: float) -> Stream:
    """A stream that gets the records evenly over so many seconds; the killers stand beside."""
    found = Stream(RESHARDED)
    count = len(records.data)
    for number, body in enumerate(records.data):
        at = round(NOW + seconds * number / count, 3)
        found.put(number, body, at)
        if number in killers:
            found.put(count + number, killers[number], at)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_every_record_is_scored_once_or_given_up_alone(seed: int) -> None:
    """10 % of the invocations fail, 5 % come twice, calls of AWS fail; the shards change."""
    records, world = Records.made(300, seed), World()
    adversary = Adversary(seed, rate=0.004)
    killers = {n: data(reading("killer", cost=1000.0 + n)) for n in (20, 120, 121, 250)}
    stream = filled(records, killers, 60)
    numbers = {sequence(len(records.data) + n) for n in killers}

    def invoke(given: dict[str, Any], _: float) -> Answer:
        if numbers & {record["kinesis"]["sequenceNumber"] for record in given["Records"]}:
            return FAILED
        fate = adversary.random.random()
        if fate < 0.05:
            return FAILED
        if 0.10 <= fate < 0.15:
            scored(world, given, adversary)
        answer = scored(world, given, adversary)
        return FAILED if fate < 0.10 else answer

    # by default the age of an hour is the bound; here it is five retries, so that it comes soon
    source = Lambda(replace(mapping(), retries=5), stream, invoke)
    source.run(NOW + 150)
    assert [(d.condition, [r.data for r in d.records]) for d in source.given_up] == [
        ("RetryAttemptsExhausted", [body])
        for d in source.given_up
        for body in killers.values()
        if d.records[0].data == body
    ]
    assert sorted(d.records[0].sequence for d in source.given_up) == sorted(numbers)
    assert min(d.calls for d in source.given_up) >= 6, "one call, and five retries"
    check(world, records)
    assert set(source.readers) == {"shardId-3", "shardId-4", "shardId-5", "shardId-6"}
    assert not any(reader.lane.window for reader in source.readers.values())


@pytest.mark.parametrize("seed", range(4))
def test_what_a_producer_sends_three_times_counts_once(seed: int) -> None:
    """With the same faults, in one shard: repeats have their partition key."""
    records, world = Records.sent_again(200, seed), World()
    adversary = Adversary(seed, rate=0.01)
    stream = Stream({"shardId-0": ((), 0, float("inf"))})
    for number, body in enumerate(records.data):
        stream.put(number, body, round(NOW + 60 * number / len(records.data), 3))

    def invoke(given: dict[str, Any], _: float) -> Answer:
        fate = adversary.random.random()
        if fate < 0.15:  # it fails, or its answer is lost
            scored(world, given, adversary)
        return FAILED if fate < 0.10 else scored(world, given, adversary)

    source = Lambda(mapping(), stream, invoke)
    source.run(NOW + 150)
    assert source.given_up == []
    check(world, records)


@pytest.mark.parametrize("part", ["the sink", "the table of scores"])
def test_an_outage_of_minutes_gives_no_record_up(part: str) -> None:
    """AWS documents no wait between attempts: a hundred of them fail in these four minutes.

    A new table takes 4,000 writes a second at first, and throttles what is beyond them.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
    """
    records, world = Records.made(300, 7), World()
    ports: Any = world
    failed: Counter[str] = Counter()
    sink, latest = world.sink, world.latest

    def invoke(given: dict[str, Any], ended: float) -> Answer:
        away = NOW + 10 <= ended < NOW + 250
        ports.sink = Away() if away and part == "the sink" else sink
        ports.latest = Away() if away and part == "the table of scores" else latest
        answer = scored(world, given)
        ports.sink, ports.latest = sink, latest
        if away and json.loads(answer.payload)["batchItemFailures"]:
            failed[given["Records"][0]["eventID"]] += 1
        return answer

    source = Lambda(mapping(), filled(records, {}, 60), invoke)
    source.run(NOW + 400)
    assert max(failed.values()) > 90
    assert source.given_up == []
    check(world, records)


def test_a_calm_window_of_each_shard_ends_once() -> None:
    records, world = Records.made(200, 1), World()
    source = Lambda(mapping(), filled(records, {}, 60), lambda given, _: scored(world, given))
    source.run(NOW + 100)
    check(world, records)
    assert source.given_up == []
    ends = [call[:2] for call in source.calls if call[2] == "final"]
    assert len(ends) == len(set(ends))
    assert set(ends) == {call[:2] for call in source.calls}
    assert {start for _, start in ends} == {int(NOW) + 30 * n for n in (0, 1)}


def test_an_alert_is_told_within_ten_seconds_at_the_default_settings() -> None:
    """While an invocation takes 2 s at most, that is: four of them are all that a record waits for.

    The one under way, the rest of its window, the window's last call, and the record's own.
    """
    records, world = Records([data(reading(f"m{n}", 20.0)) for n in range(900)]), World()
    told: dict[str, float] = {}

    def invoke(given: dict[str, Any], ended: float) -> Answer:
        before = len(world.alert_channel.alerts)
        answer = scored(world, given)
        told.update({alert.id: ended - alert.at for alert in world.alert_channel.alerts[before:]})
        return answer

    source = Lambda(mapping(), filled(records, {}, 90), invoke, seconds=2.0)
    source.run(NOW + 160)
    assert len(told) == len(world.alert_channel.alerts) == 900
    assert 3 * 2.0 < max(told.values()) < 10
    assert min(told.values()) >= 2.0
