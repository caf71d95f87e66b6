"""A Kinesis stream on the simulated clock: the local AWS's lanes, over shards that change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.simulation.kernel import Simulation
from tests.simulation.lambdas import Answer as Returned
from tests.simulation.lambdas import Function

from quintet_local.sources.kinesis import (
    Call,
    Discard,
    Finished,
    Lane,
    Record,
    answered,
    decide,
    gathered,
    not_called,
    room,
)
from quintet_local.sources.kinesis_answers import Answer
from quintet_local.sources.kinesis_config import Config, Position
from quintet_local.sources.kinesis_events import Source, event
from quintet_local.sources.kinesis_shards import Shard, Shards, listed

__all__ = ["StreamSource", "Timeline"]

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/events"
#: what may become of an invocation: it is not made, it is made twice, its answer is lost
INVOKE_KINDS = ("throttled", "reply lost", "done twice")
#: of a read of a shard
READ_KINDS = ("late",)
_FAILED = Answer(b'{"errorMessage": "lost"}', error=True)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A shard: its parents, and when it opens and closes."""

    parents: tuple[str, ...] = ()
    opens: float = 0.0
    closes: float = float("inf")


@dataclass
class _Reader:
    """A shard that is read: what is left, its lane, whether its function runs, when it is read."""

    left: list[Record]
    lane: Lane = field(default_factory=Lane)
    busy: bool = False
    slow_until: float = 0.0
    wakes: float = 0.0


@dataclass
class StreamSource:
    """Lambda between a stream and a function. `seen` gets each decision of a shard."""

    simulation: Simulation
    config: Config
    timelines: dict[str, Timeline]
    records: dict[str, list[Record]]
    function: Function
    seen: Callable[[str, Lane, object], None] = lambda *_: None
    shards: Shards = field(default_factory=lambda: Shards(Position()))
    readers: dict[str, _Reader] = field(default_factory=dict)
    given_up: list[Discard] = field(default_factory=list)

    def start(self) -> None:
        """Begin to read; look for new shards whenever one opens or closes."""
        for timeline in self.timelines.values():
            for moment in (timeline.opens, timeline.closes):
                if moment < float("inf"):
                    self.simulation.at(moment, self._look)
        self._look()

    @property
    def idle(self) -> bool:
        """Whether every record was processed, and every window is closed."""
        return not any(
            reader.left or reader.busy or reader.lane.pieces or reader.lane.waiting
            for reader in self.readers.values()
        ) and not any(reader.lane.window for reader in self.readers.values())

    def _open(self) -> Iterable[Shard]:
        now = self.simulation.now
        for name, timeline in self.timelines.items():
            if timeline.opens <= now:
                yield Shard(name, timeline.parents, closed=timeline.closes <= now)

    def _look(self) -> None:
        self.shards, ready = listed(self.shards, self._open())
        for name in ready:
            self.readers[name] = _Reader(list(self.records.get(name, ())))
        for name in list(self.readers):
            self._turn(name)

    def _turn(self, name: str) -> None:
        """Let a shard do what it can do at this moment."""
        reader = self.readers.get(name)
        while reader is not None and not reader.busy:
            self._feed(name, reader)
            now = self.simulation.now
            reader.lane, action = decide(self.config, reader.lane, now)
            self.seen(name, reader.lane, action)
            if isinstance(action, Call):
                reader.busy = True
                self._call(name, reader, action)
            elif isinstance(action, Discard):
                self.given_up.append(action)
            elif isinstance(action, Finished):
                self.shards = self.shards.finished(name)
                del self.readers[name]
                self._look()
                return
            else:
                self._wait(name, reader, action.until)
                return

    def _wait(self, name: str, reader: _Reader, until: float | None) -> None:
        now = self.simulation.now
        moments = [] if until is None else [until]
        if reader.left:
            moments.append(max(reader.left[0].arrived, reader.slow_until))
        if reader.lane.window is not None:
            moments.append(max(reader.lane.window.start + self.config.window, reader.slow_until))
        moment = min((one for one in moments if one > now), default=None)
        if moment is not None and not now < reader.wakes <= moment:
            reader.wakes = moment
            self.simulation.at(moment, lambda: self._turn(name))

    def _feed(self, name: str, reader: _Reader) -> None:
        now, new = self.simulation.now, list[Record]()
        if now < reader.slow_until:
            return
        fault = None
        if reader.left and reader.left[0].arrived <= now:
            fault = self.simulation.faults.at("shard.read", now, READ_KINDS)
        if fault is not None:
            reader.slow_until = now + min(fault.seconds, 120.0)
            return
        while reader.left and reader.left[0].arrived <= now:
            if len(new) >= room(self.config, reader.lane):
                break
            new.append(reader.left.pop(0))
        caught_up = not reader.left or reader.left[0].arrived > now
        ended = not reader.left and self.timelines[name].closes <= now
        reader.lane = gathered(reader.lane, tuple(new), now, now if caught_up else 0.0, ended)

    def _call(self, name: str, reader: _Reader, call: Call) -> None:
        simulation = self.simulation
        fault = simulation.faults.at(f"{self.function.name}.invoke", simulation.now, INVOKE_KINDS)
        kind = fault.kind if fault else ""
        source = Source("mapping", ARN, "function", "role", window=self.config.window)
        given = event(source, name, call.records, call.window, call.final)

        def then(returned: Returned) -> None:
            answer = Answer(returned.payload, bool(returned.error))
            if kind == "reply lost":
                answer = _FAILED
            reader.lane = answered(self.config, reader.lane, call, answer, simulation.now)
            done()

        def refused() -> None:
            reader.lane = not_called(self.config, reader.lane, call, simulation.now)
            done()

        def done() -> None:
            reader.busy = False
            self._turn(name)

        if kind == "throttled":
            simulation.at(simulation.now + 0.5, refused)
            return
        if kind == "done twice":
            self.function.invoke(given, lambda _: None)
        self.function.invoke(given, then)
