"""A campaign: clients at work, under faults or for long; then all that they did is checked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.histories.checker import check
from tests.histories.clients import World
from tests.histories.crowd import Crowd, publish_models, register, unreached
from tests.histories.history import Anomaly, Operation, Recorder, read
from tests.histories.jobs import Listener
from tests.histories.nemesis import Nemesis
from tests.histories.stage import Stage
from tests.histories.steady import Sampler, Trend, trends

from quintet_cli.receiver import receiving

__all__ = ["Outcome", "run", "run_steadily"]


@dataclass
class Outcome:
    """What a campaign did, and what its checker found."""

    operations: list[Operation] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    #: seconds that each kill of the server lost
    lost: list[float] = field(default_factory=list)
    #: faults that this machine cannot make, with the reason
    skipped: dict[str, str] = field(default_factory=dict)
    trends: list[Trend] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)


def run(folder: Path, seconds: float, seed: int) -> Outcome:
    """Run a campaign of so many seconds of faults; its history is history.jsonl in `folder`."""
    outcome = Outcome()
    with _crowd(folder, seed, outcome) as crowd:
        stage = crowd.world.stage
        if stage.disk.missing:
            outcome.skipped["fill_disk"] = stage.disk.missing
        nemesis = Nemesis(crowd.world, crowd.heart)
        outcome.faults, outcome.lost = nemesis.made, nemesis.lost
        crowd.work(lambda: nemesis.run(seconds))
    return outcome


def run_steadily(folder: Path, seconds: float, seed: int) -> Outcome:
    """Run the same clients for so many seconds without faults, and measure what is used."""
    outcome = Outcome()
    with _crowd(folder, seed, outcome) as crowd:
        operations = crowd.world.recorder.operations
        stage = crowd.world.stage
        sampler = Sampler(stage, lambda: len(operations), folder / "samples.jsonl")
        sampler.start()
        crowd.work(lambda: time.sleep(seconds))
        sampler.stop()
        outcome.trends = trends(sampler.series)
    outcome.anomalies += [
        Anomaly("what is used stays", f"{one.name} grew by {one.growth:.1f}, over {one.bound:g}")
        for one in outcome.trends
        if not one.flat
    ]
    return outcome


@contextmanager
def _crowd(folder: Path, seed: int, outcome: Outcome) -> Iterator[Crowd]:
    """Clients of a new local AWS; afterwards their work ends, and their history is checked."""
    recorder = Recorder(folder / "history.jsonl")
    stage = Stage(folder)
    try:
        world = World(stage, recorder, seed)
        listener = Listener(recorder)
        with receiving(listener) as url:
            listener.secrets += register(stage, url)
            publish_models(world)
            crowd = Crowd(world)
            yield crowd
            crowd.settle(listener)
    finally:
        stage.close()
        recorder.close()
    outcome.operations = recorder.operations
    outcome.anomalies += check(read(folder / "history.jsonl"))
    outcome.anomalies += [
        Anomaly("a campaign does everything", f"{name} was never answered")
        for name in unreached(recorder.operations)
    ]
