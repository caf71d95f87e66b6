"""Campaigns: many seeds, what they reached, and a failing one made small."""

from __future__ import annotations

import gc
import random
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tests.simulation.faults import Fault, Faults
from tests.simulation.kernel import Simulation
from tests.simulation.scenario import START, Scenario
from tests.simulation.scenarios.batch import Batch
from tests.simulation.scenarios.captures import Captures
from tests.simulation.scenarios.jobs import Jobs
from tests.simulation.scenarios.rollouts import Rollouts
from tests.simulation.scenarios.stream import Stream

from quintet import coldstart
from quintet.batch import executions, reports

__all__ = [
    "SCENARIOS",
    "TOGETHER",
    "Outcome",
    "Totals",
    "one_source",
    "run",
    "scenario_of",
    "shrunk",
]

#: how far apart the seeds of weathers are, and how many are tried for fewer inputs
WEATHERS, TRIES = 1_000_003, 12
#: a state that every scenario must pass through
TOGETHER = "several ports did not answer at once"
#: modules that wait for ports in threads
POOLED = (reports, executions)
SCENARIOS: tuple[type[Scenario], ...] = (Jobs, Stream, Batch, Captures, Rollouts)


@dataclass(slots=True)
class Outcome:
    """What became of one seed. `inputs` are the numbers of the inputs that there were."""

    seed: int
    weather: int
    scenario: str
    failures: list[str]
    faults: list[Fault]
    inputs: tuple[int, ...]
    reach: Counter[str]
    hits: Counter[tuple[str, str]]
    sites: dict[str, tuple[str, ...]]
    seconds: float
    digest: str


@dataclass(slots=True)
class Totals:
    """What became of many seeds."""

    seeds: Counter[str] = field(default_factory=Counter)
    failures: dict[int, list[str]] = field(default_factory=dict)
    reach: Counter[tuple[str, str]] = field(default_factory=Counter)
    hits: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sites: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0
    #: processor seconds
    busy: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one seed."""
        name = outcome.scenario
        self.seeds[name] += 1
        if outcome.failures:
            self.failures[outcome.seed] = outcome.failures
        self.reach.update({(name, state): count for state, count in outcome.reach.items()})
        self.hits.update({(name, *hit): count for hit, count in outcome.hits.items()})
        self.sites |= {(name, site): kinds for site, kinds in outcome.sites.items()}
        self.seconds += outcome.seconds

    def merge(self, other: Totals) -> None:
        """Count what another process counted."""
        self.seeds.update(other.seeds)
        self.failures |= other.failures
        self.reach.update(other.reach)
        self.hits.update(other.hits)
        self.sites |= other.sites
        self.seconds += other.seconds
        self.busy += other.busy

    def missed(self) -> list[str]:
        """The states that no seed passed through, of the scenarios that ran."""
        return [
            f"{one.NAME}: {state}"
            for one in SCENARIOS
            if self.seeds[one.NAME]
            for state in (*one.REACH, TOGETHER)
            if not self.reach[one.NAME, state]
        ]

    def seldom(self, least: int) -> list[str]:
        """The faults that happened at a call site fewer times than `least`."""
        return [
            f"{name}: {site}: {kind}: {self.hits[name, site, kind]} times"
            for (name, site), kinds in sorted(self.sites.items())
            for kind in kinds
            if self.hits[name, site, kind] < least
        ]


def scenario_of(seed: int) -> type[Scenario]:
    """The scenario of a seed: they take turns."""
    return SCENARIOS[seed % len(SCENARIOS)]


def run(
    seed: int,
    *,
    scenario: type[Scenario] | None = None,
    weather: int = 0,
    only: Collection[Fault] | None = None,
    keep: Collection[int] | None = None,
) -> Outcome:
    """Simulate one seed: with all faults that it draws, or `only` these; with the inputs `keep`.

    Another `weather` draws other faults for the same inputs.
    """
    kind = scenario or scenario_of(seed)
    faults = Faults(
        seed + weather * WEATHERS, START + 3600 * kind.HOURS, kind.RARE, kind.DELAYS, only
    )
    simulation = Simulation(seed, faults, START)
    with one_source(seed):
        world = kind(simulation, keep)
        world.play()
        simulation.close()
        failures = [*simulation.violations, *world.check()]
    if faults.together:
        simulation.reach[TOGETHER] += 1
    kept = tuple(number for number in range(world.inputs) if world.kept(number))
    return Outcome(
        seed,
        weather,
        kind.NAME,
        failures,
        faults.happened,
        kept,
        simulation.reach,
        faults.hits,
        faults.sites,
        simulation.now - START,
        simulation.digest,
    )


class InTurn:
    """A pool of threads without threads: what it is given is done in turn."""

    def __init__(self, *given: object) -> None: ...

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *error: object) -> None: ...

    map = map


@contextmanager
def one_source(seed: int) -> Iterator[None]:
    """Let all that is drawn, and every new id, come from the seed; let all be in one thread."""
    state, source = random.getstate(), random.Random(f"{seed}/ids")

    def new_id() -> uuid.UUID:
        return uuid.UUID(int=source.getrandbits(128), version=4)

    random.seed(seed)
    with ExitStack() as stack:
        stack.callback(random.setstate, state)
        stack.enter_context(patch.object(uuid, "uuid4", new_id))
        # what a cold start freezes is never collected: here that would be whole worlds
        stack.enter_context(patch.object(coldstart, "started", gc.enable))
        for module in POOLED:
            stack.enter_context(patch.object(module, "ThreadPoolExecutor", InTurn))
        yield


def shrunk(found: Outcome, scenario: type[Scenario] | None = None) -> Outcome:
    """The smallest run that fails as this one does: of its inputs and faults as few as it takes.

    With fewer inputs the calls are others, so that other weather is tried as well.
    """
    wanted, best = _names(found), found

    def fails(weather: int, keep: tuple[int, ...], only: Collection[Fault] | None) -> bool:
        nonlocal best
        again = run(found.seed, scenario=scenario, weather=weather, only=only, keep=keep)
        if not wanted & _names(again):
            return False
        best = again
        return True

    _fewest(found.inputs, lambda some: any(fails(w, some, None) for w in range(TRIES)))
    weather, keep = best.weather, best.inputs
    _fewest(tuple(best.faults), lambda some: fails(weather, keep, some))
    return best


def _names(outcome: Outcome) -> set[str]:
    return {failure.partition(":")[0] for failure in outcome.failures}


def _fewest(whole: tuple[Any, ...], fails: Callable[[tuple[Any, ...]], bool]) -> tuple[Any, ...]:
    """Delta debugging: leave out ever smaller parts, as long as it fails without them.

    Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002.
    """
    size = max(1, len(whole) // 2)
    while whole:
        at = 0
        while at < len(whole):
            rest = whole[:at] + whole[at + size :]
            if fails(rest):
                whole = rest
            else:
                at += size
        if size == 1:
            return whole
        size //= 2
    return whole
