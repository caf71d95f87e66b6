"""Jobs that crash their workers; those beside them are done within two leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.kits.models import LOG, NOW, Clock, online, renamed
from tests.kits.workers import LEASE_SECONDS, Bench, logs, message

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import Transient
from quintet.jobs.job import MAX_BROKEN, Job
from quintet.jobs.memory import MemoryJobs
from quintet.replay.jobs import MemoryReplayJobs
from quintet.serving.model_cache import ModelCache

POISON = 666.0
VISIBILITY = 540.0


class Killed(BaseException):
    """The worker ran out of time or memory: nothing catches it."""


@dataclass
class Deadly:
    """The kit's models; a run over a row of poison ends the worker."""

    models: ModelCache
    runs: list[list[float]] = field(default_factory=list)

    def get(self, name: str, version: int | None = None) -> Any:
        deadly, model = self, self.models.get(name, version)

        class Model:
            contract: Contract = model.contract
            digest = ""

            def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
                (feed,) = feeds.values()
                deadly.runs.append([float(value) for value in feed[:, 0]])
                if (feed == POISON).any():
                    raise Killed
                found: list[Array] = model.run(outputs, feeds)
                return found

        return Model()


@dataclass
class Shop:
    """A queue and its workers, one after the other."""

    bench: Bench
    batch: int
    visible: dict[str, float] = field(default_factory=dict)

    def delay(self, seconds: dict[str, int]) -> None:
        """See `Visibility.delay`."""
        for receipt, wait in seconds.items():
            self.visible[receipt] = self.bench.clock.now + wait

    def run(self) -> None:
        """Work until no message is left."""
        jobs, clock = self.bench.jobs.jobs, self.bench.clock
        messages = {message(name).receipt: message(name) for name in jobs}
        self.visible = dict.fromkeys(messages, clock.now)
        while self.visible:
            clock.now = max(clock.now, min(self.visible.values()))
            due = [name for name, at in self.visible.items() if at <= clock.now][: self.batch]
            self.visible |= dict.fromkeys(due, clock.now + VISIBILITY)
            worker = self.bench.worker(visibility=self)
            try:
                results = worker.work([messages[name] for name in due])
            except Killed:
                clock.now += 60
                continue
            for result in results:
                if result.acknowledged:
                    del self.visible[result.delivery.receipt]


def shop(batch: int) -> Shop:
    models = Deadly(online(LOG, renamed(LOG, version=2)).models)
    return Shop(Bench(models=models, clock=Clock()), batch)  # type: ignore[arg-type]


def quick(count: int) -> list[Job]:
    return [logs(f"q{n}", n + 1.0, version=1 + n % 2, deadline=NOW + 86_400) for n in range(count)]


def poison(name: str, **changes: Any) -> Job:
    return logs(name, POISON, deadline=NOW + 86_400, **changes)


@pytest.mark.parametrize("batch", [4, 10, 100])
@pytest.mark.parametrize("places", [[0], [15], [30], [0, 15, 31], [3, 4, 5, 6]])
def test_the_jobs_beside_poison_are_done_within_two_leases(batch: int, places: list[int]) -> None:
    found = shop(batch)
    jobs = quick(30)
    for number, place in enumerate(places):
        jobs.insert(place, poison(f"p{number}", version=1 + number % 2))
    found.bench.put(*jobs)
    found.run()
    kept = found.bench.jobs.jobs
    assert {kept[f"q{n}"].state for n in range(30)} == {"DONE"}
    assert max(kept[f"q{n}"].attempts for n in range(30)) <= 2
    names = [f"p{number}" for number in range(len(places))]
    assert [(kept[name].state, kept[name].broken) for name in names] == [
        ("FAILED", MAX_BROKEN)
    ] * len(places)
    assert sorted(found.bench.letters.bodies) == [message(name).body for name in names]
    # nobody waited for a message's whole visibility after a crash in a run of suspects
    assert found.bench.clock.now < NOW + 1.5 * VISIBILITY * MAX_BROKEN * len(places)


def test_only_the_jobs_of_the_run_that_broke_off_run_alone_next() -> None:
    found = shop(10)
    models = found.bench.models
    found.bench.put(*quick(6), poison("p"), logs("z", 50.0, version=2, deadline=NOW + 86_400))
    found.run()
    assert isinstance(models, Deadly)
    # version 1 began first, with the poison: version 2 was not leased then, and runs together after
    assert models.runs[:2] == [[1.0, 3.0, 5.0, POISON], [2.0, 4.0, 6.0, 50.0]]
    assert models.runs[2:] == [[1.0], [3.0], [5.0], [POISON], [POISON]]


def test_a_replayed_letter_runs_alone_and_costs_the_others_nothing() -> None:
    found = shop(10)
    found.bench.put(poison("p"))
    found.run()
    assert MemoryReplayJobs(found.bench.jobs, found.bench.clock).reopen("p")
    assert found.bench.jobs.jobs["p"].broken == 0
    found.bench.put(*quick(9))
    found.run()
    kept = found.bench.jobs.jobs
    assert {(kept[f"q{n}"].state, kept[f"q{n}"].attempts) for n in range(9)} == {("DONE", 1)}
    assert (kept["p"].state, len(found.bench.letters.bodies)) == ("FAILED", 2)


def test_an_outage_costs_no_attempts_until_the_deadline() -> None:
    class Down(MemoryJobs):
        def settle(self, *given: Any, **more: Any) -> Any:
            raise Transient("dynamodb did not answer")

        settle_many = settle

    bench = Bench(jobs=Down())
    bench.put(logs("a", 1), logs("b", 2))
    for receives in range(1, 101):
        bench.clock.now = NOW + 30 * receives
        results = bench.worker().work([message(name, receives) for name in ("a", "b")])
        assert {result.acknowledged for result in results} == {False}
    assert bench.states() == {"a": "ACCEPTED", "b": "ACCEPTED"}
    assert {one.broken for one in bench.jobs.jobs.values()} == {0}
    bench.clock.now = NOW + 3600
    results = bench.worker().work([message(name, 101) for name in ("a", "b")])
    assert {(result.acknowledged, result.reason) for result in results} == {(True, "EXPIRED")}
    assert (bench.states(), bench.letters.bodies) == ({"a": "EXPIRED", "b": "EXPIRED"}, [])


def test_poison_stays_until_its_letter_is_written() -> None:
    class Full:
        def put(self, body: str) -> None:
            raise Transient("sqs did not answer")

    bench = Bench()
    bench.put(logs("p", 1))
    for number in range(MAX_BROKEN):
        bench.jobs.lease("p", f"dead {number}", bench.clock.now, LEASE_SECONDS)
        bench.clock.now += LEASE_SECONDS
    (result,) = bench.worker(letters=Full()).work([message("p")])
    assert (result.acknowledged, result.reason) == (False, "not settled; sqs did not answer")
    (result,) = bench.worker().work([message("p")])
    assert (result.event, result.acknowledged) == ("failed", True)
    assert bench.letters.bodies == [message("p").body]
    problem = bench.jobs.jobs["p"].problem
    assert problem is not None and problem["status"] == 503
