"""A fault plan: which faults the local AWS injects, how often, and in which order. Off by default.

Every decision is a pure function of the plan's seed, a stream's name and a number: with the same
seed, the n-th call of an operation always has the same result, regardless of concurrent calls.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

__all__ = [
    "OFF",
    "CallRates",
    "Fate",
    "FaultError",
    "FaultPlan",
    "Faults",
    "Kills",
    "StreamFate",
    "StreamRates",
    "call_fate",
    "draw",
    "kill_after",
    "late_by",
    "load",
    "parse",
    "stream_fate",
]

#: the fault of a call; `lost_reply` runs the call, then breaks the caller's connection
Fate = Literal["error", "throttle", "lost_reply"]
#: the fault of a stream's batch: the function is not called, or its response is lost (both count as
#: function errors), or the function receives the batch twice
StreamFate = Literal["not_called", "answer_lost", "twice"]
SERVICES = ("dynamodb", "s3", "sqs")
#: when during a call its environment is killed, in seconds after the start
KILL_SECONDS = (0.002, 0.5)
#: the maximum delay of a second delivery, in seconds
LATE_SECONDS = 2.0


class FaultError(Exception):
    """The file is not a valid fault plan; the text says where."""


@dataclass(frozen=True, slots=True)
class CallRates:
    """The shares of a service's calls that fail, from 0 to 1."""

    errors: float = 0.0
    throttles: float = 0.0
    lost_replies: float = 0.0


@dataclass(frozen=True, slots=True)
class Kills:
    """The share of calls during which the environment is killed, for these functions or for all."""

    share: float = 0.0
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamRates:
    """The shares of stream batches that fail, and that are delivered twice."""

    failures: float = 0.0
    duplicates: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The faults to inject. `calls` are those that functions make, by service."""

    seed: int = 0
    calls: Mapping[str, CallRates] = field(default_factory=dict)
    duplicates: float = 0.0
    kills: Kills = field(default_factory=Kills)
    streams: StreamRates = field(default_factory=StreamRates)


OFF = FaultPlan()


def draw(seed: int, stream: str, number: int) -> float:
    """Return the `number`-th value of a stream, in [0, 1)."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def call_fate(plan: FaultPlan, service: str, operation: str, number: int) -> Fate | None:
    """Return the fault of the `number`-th call of an operation, or None."""
    rates = plan.calls.get(service)
    if rates is None:
        return None
    value = draw(plan.seed, f"{service}.{operation}", number)
    if value < rates.errors:
        return "error"
    if value < rates.errors + rates.throttles:
        return "throttle"
    return "lost_reply" if value < rates.errors + rates.throttles + rates.lost_replies else None


def late_by(plan: FaultPlan, queue: str, number: int) -> float | None:
    """Return the delay in seconds of a second delivery of a queue's `number`-th message.

    None if there is no second delivery.
    """
    if draw(plan.seed, f"{queue}.duplicate", number) >= plan.duplicates:
        return None
    return LATE_SECONDS * draw(plan.seed, f"{queue}.late", number)


def stream_fate(plan: FaultPlan, shard: str, number: int) -> StreamFate | None:
    """Return the fault of a shard's `number`-th batch, or None."""
    rates = plan.streams
    value = draw(plan.seed, f"{shard}.batch", number)
    if value < rates.failures:
        return "not_called" if value < rates.failures / 2 else "answer_lost"
    return "twice" if value < rates.failures + rates.duplicates else None


def kill_after(plan: FaultPlan, function: str, number: int) -> float | None:
    """Return when during a function's `number`-th call its environment is killed, or None.

    Short times are as likely as long ones; a call that has ended by then escapes the fault.
    """
    kills = plan.kills
    if kills.functions and function not in kills.functions:
        return None
    if draw(plan.seed, f"{function}.kill", number) >= kills.share:
        return None
    shortest, longest = KILL_SECONDS
    stretch = math.log(longest / shortest) * draw(plan.seed, f"{function}.when", number)
    return shortest * math.exp(stretch)


class Faults:
    """Applies the plan: numbers each stream's decisions and counts the results."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._asked: Counter[str] = Counter()
        self._happened: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether the plan can inject any fault."""
        return self.plan != OFF

    def call(self, service: str, operation: str) -> Fate | None:
        """Return the fault of a function's next call of an operation."""
        fate = call_fate(self.plan, service, operation, self._next(f"{service}.{operation}"))
        if fate is not None:
            self.count(f"{service}.{fate}")
        return fate

    def late(self, queue: str) -> float | None:
        """Return the delay in seconds of a second delivery of the queue's next message."""
        late = late_by(self.plan, queue, self._next(queue))
        if late is not None:
            self.count("sqs.duplicate")
        return late

    def batch(self, shard: str) -> StreamFate | None:
        """Return the fault of a shard's next batch."""
        fate = stream_fate(self.plan, shard, self._next(f"{shard}.batch"))
        if fate is not None:
            self.count(f"kinesis.{fate}")
        return fate

    def kill(self, function: str) -> float | None:
        """Return when during its next call a function's environment is to be killed."""
        return kill_after(self.plan, function, self._next(function))

    def count(self, what: str) -> None:
        """Count an event."""
        with self._lock:
            self._happened[what] += 1

    def report(self) -> dict[str, Any] | None:
        """Return the plan and the counts of injected faults; None when the plan is off."""
        if not self.on:
            return None
        with self._lock:
            return {"plan": asdict(self.plan), "happened": dict(sorted(self._happened.items()))}

    def _next(self, stream: str) -> int:
        with self._lock:
            self._asked[stream] += 1
            return self._asked[stream]


def load(path: Path) -> FaultPlan:
    """Read the plan in a YAML or JSON file.

    Raises:
        FaultError: the file does not contain a valid plan.
    """
    try:
        return parse(yaml.safe_load(path.read_text()))
    except FaultError as error:
        raise FaultError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FaultError(f"{path}: {getattr(error, 'strerror', None) or 'not text'}") from error
    except yaml.YAMLError as error:
        raise FaultError(f"{path}: not YAML: {error}") from error


def parse(given: Any) -> FaultPlan:
    """Parse a plan from its YAML or JSON value.

    Raises:
        FaultError: a field is unknown or a value is invalid.
    """
    found = _object("plan", given, tuple(f.name for f in fields(FaultPlan)))
    seed = found.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise FaultError(f"seed: expected a whole number, got {seed!r}")
    calls = {}
    for service, of in _object("calls", found.get("calls", {}), SERVICES).items():
        where = f"calls.{service}"
        rates = _object(where, of, tuple(f.name for f in fields(CallRates)))
        calls[service] = CallRates(**{k: _share(f"{where}.{k}", v) for k, v in rates.items()})
        _together(where, calls[service])
    kills = _object("kills", found.get("kills", {}), tuple(f.name for f in fields(Kills)))
    functions = kills.get("functions", [])
    if not isinstance(functions, list) or not all(isinstance(f, str) for f in functions):
        raise FaultError("kills.functions: expected a list of logical ids")
    of = _object("streams", found.get("streams", {}), tuple(f.name for f in fields(StreamRates)))
    streams = StreamRates(**{k: _share(f"streams.{k}", v) for k, v in of.items()})
    _together("streams", streams)
    return FaultPlan(
        seed,
        calls,
        _share("duplicates", found.get("duplicates", 0)),
        Kills(_share("kills.share", kills.get("share", 0)), tuple(functions)),
        streams,
    )


def _together(where: str, rates: CallRates | StreamRates) -> None:
    if sum(asdict(rates).values()) > 1:
        raise FaultError(f"{where}: expected shares of at most 1 together")


def _object(where: str, given: Any, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise FaultError(f"{where}: expected an object, got {given!r}")
    for name in given:
        if name not in known:
            raise FaultError(f"{where}: {name!r} is none of {', '.join(known)}")
    return given


def _share(where: str, given: Any) -> float:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not 0 <= given <= 1:
        raise FaultError(f"{where}: expected a share from 0 to 1, got {given!r}")
    return float(given)
