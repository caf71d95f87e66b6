"""Workers that die, stores that fail and messages that come twice, from a seed, on a set clock.

Every port call of the worker, its publisher and the sweep may fail before it is done, after (its
reply is lost), or kill who calls. Whatever happens, each job comes to one end and is published.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.kits.models import NOW, Clock
from tests.kits.workers import LEASE_SECONDS, Bench, logs

from quintet.errors import Transient
from quintet.jobs.job import Job
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.messages import Delivery, OutboxPublisher
from quintet.jobs.store import JobEvent
from quintet.jobs.sweep import MemoryDeadLetters, sweep

JOBS = 120
BATCH = 16
VISIBILITY = 360.0
DEADLINE = 4 * 3600.0


class Killed(BaseException):
    """kill -9: nothing catches it."""


@dataclass
class Faulty:
    """A port whose calls fail now and then."""

    port: Any
    random: random.Random
    errors: float = 0.1
    kills: float = 0.004

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.port, name)

        def faulty(*given: Any, **more: Any) -> Any:
            self._fail()
            found = call(*given, **more)
            self._fail()
            return found

        return faulty

    def _fail(self) -> None:
        drawn = self.random.random()
        if drawn < self.kills:
            raise Killed
        if drawn < self.kills + self.errors / 2:
            raise Transient("injected")


class Watched(MemoryJobs):
    """Jobs in memory that remember every end a job was brought to."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: Counter[str] = Counter()

    def _write(self, job: Job) -> tuple[Job, JobEvent]:
        self.ends[job.id] += job.settled
        return super()._write(job)


@dataclass
class SimulatedQueue:
    """A standard queue: at least once, visibility, and dead letters."""

    clock: Clock
    random: random.Random
    bodies: dict[str, str] = field(default_factory=dict)
    receives: Counter[str] = field(default_factory=Counter)
    visible: dict[str, float] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)

    def send(self, event: JobEvent, delay: int = 0) -> None:
        """See `quintet.jobs.messages.EventQueue.send`."""
        name = f"m{len(self.bodies)}"
        self.bodies[name] = event.message()
        self.visible[name] = self.clock.now

    def send_many(self, events: Sequence[JobEvent]) -> list[JobEvent]:
        """See `quintet.jobs.messages.EventQueue.send_many`."""
        for event in events:
            self.send(event)
        return list(events)

    def delay(self, seconds: Mapping[str, int]) -> None:
        """See `quintet.jobs.messages.Visibility.delay`."""
        for name, wait in seconds.items():
            if name in self.visible:
                self.visible[name] = self.clock.now + wait

    def receive(self) -> list[Delivery]:
        """Some of the visible messages, now and then one of them twice."""
        found = []
        for name in [n for n, at in self.visible.items() if at <= self.clock.now][:BATCH]:
            self.receives[name] += 1
            twice = self.random.random() < 0.05
            self.visible[name] = self.clock.now + (0 if twice else VISIBILITY)
            found.append(Delivery(name, name, self.bodies[name], self.receives[name]))
        return found

    def put(self, body: str) -> None:
        """See `quintet.jobs.messages.DeadLetterBox.put`."""
        self.dead.append(body)

    def delete(self, name: str) -> None:
        """Acknowledge a message; now and then it is not heard."""
        if self.random.random() < 0.95:
            self.visible.pop(name, None)


@pytest.mark.parametrize("seed", range(12))
def test_each_job_comes_to_one_end_and_is_published(seed: int) -> None:
    chance = random.Random(seed)
    clock = Clock()
    queue = SimulatedQueue(clock, chance)
    store = Watched()
    bench = Bench(jobs=store, clock=clock)
    publisher = OutboxPublisher(
        Faulty(store, chance), work=Faulty(queue, chance), notify=Faulty(bench.notify, chance)
    )
    for number in range(JOBS):
        # some are never sent: whoever accepted them died
        _, event = store.accept(logs(str(number), number + 1, deadline=NOW + DEADLINE))
        if event and chance.random() < 0.9:
            queue.send(event)
            store.sent(event)
    swept = clock.now
    while clock.now < NOW + DEADLINE + LEASE_SECONDS + 600:
        work(bench, queue, publisher, chance)
        if clock.now - swept >= 60:
            swept = clock.now
            with suppress(Killed, Transient):
                letters = MemoryDeadLetters(queue.dead)
                fail_dead_jobs = bench.reconciler(
                    letters, leases=Faulty(store, chance)
                ).fail_dead_jobs
                sweep(Faulty(store, chance), publisher, fail_dead_jobs, clock.now)
        busy = any(at <= clock.now for at in queue.visible.values())
        clock.now += chance.uniform(0, 2 if busy else 60)
    states = Counter(bench.states().values())
    # nobody waits for its deadline, not even the jobs that no worker survived
    assert set(states) <= {"DONE", "FAILED"} and states["DONE"] > 0.9 * JOBS
    assert set(store.ends.values()) == {1}, "a job was brought to an end twice"
    for name, one in store.jobs.items():
        if one.state == "DONE":
            (row,) = bench.result(name)["predictions"]
            assert row["logs"] == pytest.approx([math.log(int(name) + 1)] * 2, rel=1e-6)
    # what ended otherwise had its chances
    lost = {json.loads(body)["job"] for body in queue.dead}
    assert {name for name, state in bench.states().items() if state != "DONE"} <= lost
    assert (store.pending, queue.visible) == ({}, {})
    events = {"DONE": "completed", "FAILED": "failed"}
    assert set(bench.notified()) == {(n, events[state]) for n, state in bench.states().items()}


def work(
    bench: Bench, queue: SimulatedQueue, publisher: OutboxPublisher, chance: random.Random
) -> None:
    """One invocation, which may be killed."""
    batch = queue.receive()
    if not batch:
        return
    worker = bench.worker(
        leases=Faulty(bench.jobs, chance),
        batches=Faulty(bench.jobs, chance),
        blobs=Faulty(bench.blobs, chance),
        publisher=publisher,
        letters=Faulty(queue, chance),
        visibility=queue,
    )
    try:
        results = worker.work(batch)
    except Killed:
        return
    for result in results:
        if result.acknowledged:
            queue.delete(result.delivery.message)
