"""A stream: records of several shards, scored, put into windows, told as alerts, captured."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

from tests.kits import models
from tests.kits.captures import records as captured
from tests.kits.stream_world import World
from tests.kits.streams import METER, TIMED, cache_of, data, reading, sequence
from tests.simulation.kernel import Simulation, Task
from tests.simulation.lambdas import Function, environment, handler, template
from tests.simulation.scenario import START, Scenario
from tests.simulation.streams import StreamSource, Timeline

from quintet.captures.compaction import compact
from quintet.captures.tables import concat, read_parquet, table_of
from quintet.contract import Capture, Contract
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.streaming.alerts import AlertNotifier
from quintet.streaming.commit_log import Stored
from quintet.streaming.decoding import decode
from quintet.streaming.model_rows import AHEAD_SECONDS
from quintet.streaming.scorer import Scorer
from quintet_local.sources.kinesis import Call, Discard, Lane, Record
from quintet_local.sources.kinesis_config import Config

__all__ = ["Stream"]

Place = tuple[str, int | None]
POISON = 666.0
#: when the last record arrives, in seconds
LENGTH = 100.0
#: records of a burst
BURST = 8
#: one shard; two of which one splits and both parts merge
ONE = {"shardId-0": Timeline()}
RESHARDED = {
    "shardId-0": Timeline(closes=START + 30),
    "shardId-1": Timeline(),
    "shardId-2": Timeline(("shardId-0",), START + 30, START + 70),
    "shardId-3": Timeline(("shardId-0",), START + 30, START + 70),
    "shardId-4": Timeline(("shardId-2", "shardId-3"), START + 70),
}


@cache
def _model(timed: bool) -> OnnxModel:
    contract = TIMED if timed else METER
    return OnnxModel(replace(contract, capture=Capture()), models.log_graph())


class Fatal:
    """The model, which kills its process at a poisoned row."""

    def __init__(self, simulation: Simulation, timed: bool) -> None:
        self.simulation, self.real = simulation, _model(timed)
        self.contract, self.digest, self.due = self.real.contract, "d", None

    def run(self, outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
        """See `quintet.scoring.Model.run`."""
        if (feeds["XY"] == POISON).any():
            self.simulation.kill()
        return self.real.run(outputs, feeds)


@dataclass
class Wanted:
    """What is to come of the records."""

    good: Counter[Place] = field(default_factory=Counter)
    bad: set[Place] = field(default_factory=set)
    sums: dict[str, tuple[float, float]] = field(default_factory=dict)
    late: int = 0
    last: dict[str, str] = field(default_factory=dict)


class Stream(Scenario):
    """See the module."""

    NAME = "stream"
    HOURS = 0.4
    REACH = (
        "a batch that failed was cut in halves",
        "both halves of a bisect failed",
        "an object of another invocation found under its key",
        "an object that reaches beyond the checkpoint was read",
        "records that were processed before were skipped",
        "a repeat of a producer was left out",
        "an alert was sent again under its id",
        "the last call of a window failed and was repeated",
        "a late record after its window was closed",
        "two invocations worked on a shard at once",
        "a child shard waited for its parent",
        "a record was given up for its age",
        "the same rows were captured twice",
        "an alert was raised by another invocation meanwhile",
    )
    RARE: ClassVar[dict[str, float]] = {
        "sink.get": 8.0,
        "sink.keys": 4.0,
        "ids.read": 2.0,
        "ids.add": 3.0,
        "windows.close": 3.0,
        "alert-state.put": 3.0,
        "alert-state.sent": 3.0,
        "alert-channel.send": 2.0,
    }

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        super().__init__(simulation, keep)
        chance = self.chance
        self.resharded, self.timed = chance.random() < 0.5, chance.random() < 0.4
        #: records that kill whoever gets them are few, and given up after an hour
        self.killers = chance.random() < 0.08
        #: what is written after the sink fails for more than an hour
        self.outage = not self.killers and chance.random() < 0.12
        self.bursts = self.killers or self.outage
        if self.outage:
            port = chance.choice(("latest", "checkpoints.advance"))
            self.faults.fail(port, START + 20, START + chance.uniform(3700, 4500))
        # a repeat has its partition key, and so its shard; what was given up may have been scored
        self.with_ids = not (self.resharded or self.bursts)
        self.count = chance.choice((8, 16) if self.bursts else (8, 20, 40))
        self.bodies: list[bytes] = []
        for number in range(self.count):
            self.bodies.append(self._draw(number))
        self.model = Fatal(simulation, self.timed)
        self.world = World(_model(self.timed))
        self._pieces: Counter[str] = Counter()
        self.stream = self._source()

    def _draw(self, number: int) -> bytes:
        """A record: mostly rows, some with ids that come again, some bytes that are none."""
        chance = random.Random(f"{self.simulation.seed}/record/{number}")
        if chance.random() < 0.08:
            return chance.choice([b"", b"{", b"\xff\xfe", b'"text"', b"[]"])
        if self.with_ids and number and chance.random() < 0.25:
            return self.bodies[chance.randrange(number)]
        rows = []
        for place in range(chance.choice((1, 1, 3))):
            x = 0.0 if chance.random() < 0.1 else float(chance.randint(1, 30))
            if self.killers and chance.random() < 0.04:
                x = POISON
            row = reading(f"m{chance.randint(1, 4)}", x)
            if self.timed:
                at = self.arrival(number) - chance.choice((0.0, 5.0, 20.0, 200.0))
                row = {"meter": row["meter"], "x": x, "at": at}
            if self.with_ids and chance.random() < 0.7:
                row["id"] = f"{number}/{place}"
            rows.append(row)
        return data(*rows)

    @property
    def contract(self) -> Contract:
        """The model's."""
        return self.world.model.contract

    def arrival(self, number: int) -> float:
        """When a record arrives: one after the other, or some every ten minutes."""
        if self.bursts:
            burst, place = divmod(number, BURST)
            return round(START + 600.0 * burst + 3.5 * place, 3)
        return round(START + LENGTH * number / self.count, 3)

    @property
    def inputs(self) -> int:
        """See `Scenario.inputs`."""
        return self.count

    # ---- the world -----------------------------------------------------------------------------

    def _source(self) -> StreamSource:
        simulation, functions = self.simulation, template().of_type("AWS::Lambda::Function")
        scorer = environment(simulation, "scorer", self._scorer)
        score = handler(
            "score_stream",
            scorer=scorer,
            telemetry=lambda: Settled(self),
            traced=lambda batch: nullcontext(),
        )
        timeout = functions["ScoreStream"]["Timeout"]
        # a zombie that writes what the source gave up meanwhile may put rows into the sink twice:
        # Lambda ends processes at their time-out, and gives up after an hour
        zombies = self.chance.random() < 0.5 and not self.bursts
        function = Function(simulation, "ScoreStream", score, timeout, zombies)
        mappings = template().of_type("AWS::Lambda::EventSourceMapping")
        config = Config.of(mappings["ScoreStreamArrived"])
        # Lambda waits longer between its calls than the local AWS does
        size = self.chance.choice((3, 10, 1000))
        config = replace(config, batch_size=size, backoff=(1.0, 30.0))
        timelines = RESHARDED if self.resharded else ONE
        records: dict[str, list[Record]] = {}
        for number, body in enumerate(self.bodies):
            if self.kept(number):
                at = self.arrival(number)
                open_then = [n for n, t in timelines.items() if t.opens <= at < t.closes]
                record = Record(sequence(number), f"key-{number}", body, at)
                records.setdefault(open_then[number % len(open_then)], []).append(record)
        return StreamSource(simulation, config, timelines, records, function, self._decided)

    def _scorer(self) -> Scorer:
        world, model = self.world, self.model
        return Scorer(
            decode=lambda found: decode(found, lambda name: model, "log"),
            models=cache_of(model),
            features=MemoryFeatures(),
            sink=self.port("sink", world.sink),
            checkpoints=self.port("checkpoints", world.checkpoints),
            ids=self.port("ids", world.ids),
            latest=self.port("latest", world.latest),
            alerts=AlertNotifier(
                self.port("alert-state", world.alert_state),
                [self.port("alert-channel", world.alert_channel)],
            ),
            windows=self.port("windows", world.windows),
            captures=self.port("captures", world.captures),
            clock=self.simulation.clock,
            timer=self.simulation.clock,
        )

    # ---- what happens --------------------------------------------------------------------------

    def play(self) -> None:
        """See `Scenario.play`."""
        self.stream.start()
        self.simulation.violations += self.until_quiet(60, 4 * 3600)

    def quiet(self) -> bool:
        """See `Scenario.quiet`."""
        return self.stream.idle

    def _decided(self, shard: str, lane: Lane, action: Any) -> None:
        if isinstance(action, Discard):
            self.reach("a record was given up for its age")
        pieces, self._pieces[shard] = self._pieces[shard], len(lane.pieces)
        if len(lane.pieces) > max(pieces, 1):
            self.reach("a batch that failed was cut in halves")
            if len(lane.pieces) > 2:
                self.reach("both halves of a bisect failed")
        if isinstance(action, Call) and action.final and lane.window and lane.window.failures:
            self.reach("the last call of a window failed and was repeated")
        is_child = bool(RESHARDED[shard].parents) and isinstance(action, Call)
        if is_child and any(r.arrived < self.simulation.now - 60 for r in action.records):
            self.reach("a child shard waited for its parent")

    def observe(self, task: Task, site: str, given: tuple[Any, ...], found: Any) -> None:
        """See `Scenario.observe`."""
        if site == "sink.put" and isinstance(found, Stored) and found != given[1]:
            if len(self.simulation.tasks) > len(self.stream.readers):
                self.reach("two invocations worked on a shard at once")
            self.reach("an object of another invocation found under its key")
        elif site == "sink.get":
            self.reach("an object that reaches beyond the checkpoint was read")
        elif site == "alert-channel.send":
            sent = [alert.id for alert in self.world.alert_channel.alerts]
            if sent.count(given[0].id) > 1:
                self.reach("an alert was sent again under its id")
        elif site == "alert-state.put" and found is False:
            self.reach("an alert was raised by another invocation meanwhile")

    # ---- what must hold ------------------------------------------------------------------------

    def _wanted(self) -> Wanted:
        """What is to come of the records that are there, in the order of each shard."""
        wanted, seen = Wanted(), set[str]()
        given_up = {r.sequence for d in self.stream.given_up for r in d.records}
        for number, body in enumerate(self.bodies):
            if not self.kept(number) or sequence(number) in given_up:
                continue
            try:
                rows = json.loads(body)["records"]
            except (ValueError, TypeError):
                wanted.bad.add((sequence(number), None))
                continue
            for place, row in enumerate(rows):
                self._row(wanted, seen, number, place, row)
        return wanted

    def _row(
        self, wanted: Wanted, seen: set[str], number: int, place: int, row: dict[str, Any]
    ) -> None:
        at = sequence(number), place
        if row.get("id") in seen:
            return
        if row["x"] == 0.0:  # the logarithm of zero is no answer, but the row is aggregated
            wanted.bad.add(at)
        else:
            wanted.good[at] += 1
            wanted.last[row["meter"]] = sequence(number)
            if "id" in row:
                seen.add(row["id"])
        stream = self.contract.stream
        assert stream is not None
        if self.timed:
            assert stream.window is not None
            start = row["at"] // stream.window * stream.window
            if self.arrival(number) > start + stream.window + stream.allowed_lateness:
                wanted.late += 1
                return
            assert row["at"] < self.arrival(number) + AHEAD_SECONDS
        count, total = wanted.sums.get(row["meter"], (0, 0.0))
        wanted.sums[row["meter"]] = count + 1, total + float(row["x"])

    def check(self) -> Iterator[str]:
        """See `Scenario.check`."""
        world, wanted = self.world, self._wanted()
        killed = {sequence(n) for n, body in enumerate(self.bodies) if str(POISON).encode() in body}
        given_up = {r.sequence for d in self.stream.given_up for r in d.records}
        if given_up and not (self.killers or self.outage):
            yield f"conservation: {len(given_up)} records were given up"
        predictions, lines = world.predictions(), world.quarantine()
        if twice := [place for place, count in predictions.items() if count > 1]:
            yield f"one effect a record: {twice[:3]} are in the sink twice"
        predicted = {p for p in predictions if p[0] not in given_up}
        if predicted != set(wanted.good):
            odd = sorted(predicted ^ set(wanted.good))
            yield f"conservation: the sink lacks or has too many: {odd[:3]}"
        refused = [(line["sequence"], line["row"]) for line in lines]
        kept = [place for place in refused if place[0] not in given_up]
        if Counter(kept) != Counter(dict.fromkeys(wanted.bad, 1)):
            yield f"conservation: the quarantine has {len(kept)} of {len(wanted.bad)} refused rows"
        yield from self._check_bytes(lines)
        if not given_up - killed:
            yield from self._check_windows(wanted)
        if not given_up:
            last = {key[2]: one.sequence for key, one in world.latest.stored.items()}
            if last != wanted.last:
                yield "latest: not the last prediction of each entity"
            yield from self._check_captures(wanted)
            yield from self._check_alerts()

    def _check_alerts(self) -> Iterator[str]:
        told = {alert.id for alert in self.world.alert_channel.alerts}
        raised = self.world.alert_state.stored.values()
        if unsent := [one.alert.id for one in raised if not one.sent or one.alert.id not in told]:
            yield f"alerts: raised and never told: {unsent[:3]}"

    def _check_bytes(self, lines: list[dict[str, Any]]) -> Iterator[str]:
        numbers = {sequence(number): number for number in range(self.count)}
        for line in lines:
            body = self.bodies[numbers[line["sequence"]]]
            if line["data"] is not None and base64.b64decode(line["data"]) != body:
                yield f"quarantine: {line['sequence']} is not kept byte for byte"

    def _check_windows(self, wanted: Wanted) -> Iterator[str]:
        sums: dict[str, tuple[float, float]] = {}
        late = 0
        for start in self.world.windows.starts("log"):
            window = self.world.windows.read("log", start)
            assert window is not None
            late += window.counters.late
            for entity, values in window.entities.items():
                count, total = sums.get(entity, (0, 0.0))
                sums[entity] = count + int(values["readings"]), total + float(values["x_sum"])
        if wanted.late and late:
            self.reach("a late record after its window was closed")
        if sums != wanted.sums or late != wanted.late:
            yield f"window sums: {sums} with {late} late, not {wanted.sums} with {wanted.late}"

    def _check_captures(self, wanted: Wanted) -> Iterator[str]:
        objects = self.world.captures
        done = compact(objects, objects, self.simulation.now + 7200)
        if done.duplicates:
            self.reach("the same rows were captured twice")
        tables = [read_parquet(body) for body in objects.objects.values()]
        rows = concat([table_of(0, {}, {}), *tables])
        found = Counter(captured(rows, "outcome", "record", "row"))
        bad = [place for place in wanted.bad if place[1] is not None]
        right = [("scored", *place) for place in wanted.good] + [("refused", *p) for p in bad]
        if found != Counter(right):
            odd = (found - Counter(right)) + (Counter(right) - found)
            yield f"captures: {sum(odd.values())} differ from the predictions: {list(odd)[:2]}"


class Settled:
    """The telemetry of an invocation, which tells what was reached."""

    def __init__(self, scenario: Stream) -> None:
        self.scenario = scenario

    def settle(self, outcome: Any) -> None:
        """See `quintet.streaming.telemetry.StreamTelemetry.settle`."""
        if outcome.skipped:
            self.scenario.reach("records that were processed before were skipped")
        if outcome.repeated:
            self.scenario.reach("a repeat of a producer was left out")
