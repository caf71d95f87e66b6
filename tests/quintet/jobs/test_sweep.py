"""The sweep on ports in memory: late events go out, late jobs expire, jobs of dead letters fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.kits.models import NOW
from tests.kits.workers import QUIET_SECONDS, Bench, logs, message

from quintet.errors import Transient
from quintet.jobs.job import JobOutcome
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.messages import MemoryEventQueue, OutboxPublisher
from quintet.jobs.store import JobEvent
from quintet.jobs.sweep import (
    GRACE_SECONDS,
    MAX_DEAD_LETTERS,
    DeadLetters,
    MemoryDeadLetters,
    Swept,
    sweep,
)

PROBLEM = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "every attempt to work on the job broke off",
}


class Down(MemoryEventQueue):
    """A queue that takes nothing for some jobs."""

    def __init__(self, *jobs: str) -> None:
        super().__init__()
        self.jobs = jobs

    def send(self, event: JobEvent, delay: int = 0) -> None:
        if event.job in self.jobs:
            raise Transient("sqs did not answer")
        super().send(event, delay)


def swept(
    bench: Bench,
    has_time: Callable[[], bool] = lambda: True,
    letters: DeadLetters | None = None,
) -> Swept:
    publisher = OutboxPublisher(bench.jobs, work=bench.queue, notify=bench.notify)
    fail_dead_jobs = bench.reconciler(letters).fail_dead_jobs
    return sweep(bench.jobs, publisher, fail_dead_jobs, bench.clock(), has_time)


def test_late_events_are_sent_to_their_queue_once() -> None:
    bench = Bench(notify=Down("a"))
    bench.work(logs("a", 1))
    bench.jobs.accept(logs("b", 1))
    assert swept(bench) == Swept()  # whoever wrote them sends them
    bench.clock.now += GRACE_SECONDS + 1
    bench.notify = MemoryEventQueue()
    assert swept(bench) == Swept(announced=2)
    assert bench.notified() == [("a", "completed")]
    assert bench.queue.messages == [message("b").body]
    assert swept(bench) == Swept()


def test_jobs_past_their_deadline_expire_and_are_published() -> None:
    bench = Bench()
    bench.put(
        logs("late", 1), logs("working", 1), logs("dead", 1), logs("in time", 1, deadline=NOW + 1e6)
    )
    bench.jobs.lease("dead", "w", NOW, 60)
    bench.clock.now = NOW + 3600
    bench.jobs.lease("working", "w", NOW + 3599, 60)
    assert swept(bench) == Swept(expired=2, announced=2)
    assert bench.states() == {
        "late": "EXPIRED",
        "working": "LEASED",
        "dead": "EXPIRED",
        "in time": "ACCEPTED",
    }
    assert sorted(bench.notified()) == [("dead", "expired"), ("late", "expired")]


def test_an_expiry_that_cannot_be_sent_is_counted_and_waits() -> None:
    bench = Bench()
    bench.put(logs("a", 1), logs("b", 1))
    bench.clock.now = NOW + 3600
    bench.notify = Down("a")
    assert swept(bench) == Swept(expired=2, announced=1, failed=1)
    assert set(bench.jobs.pending) == {("a", "expired")}


def test_what_cannot_be_sent_stays_and_holds_nobody_up() -> None:
    bench = Bench()
    for number in range(250):
        bench.jobs.accept(logs(f"{number}", 1))
    bench.clock.now += GRACE_SECONDS + 1
    bench.queue = Down("3")
    found = swept(bench)
    assert (found.announced, found.expired) == (249, 0)
    assert set(bench.jobs.pending) == {("3", "accepted")}
    assert len(bench.queue.messages) == 249


@pytest.mark.parametrize("most", [0, 1])
def test_without_time_the_rest_waits(most: int) -> None:
    bench = Bench()
    for number in range(150):
        bench.jobs.accept(logs(f"{number}", 1))
    bench.clock.now += GRACE_SECONDS + 1
    times = iter([False] + [True] * most)
    assert swept(bench, lambda: next(times, False)) == Swept(announced=100 * most)
    assert len(bench.jobs.pending) == 150 - 100 * most


def test_the_jobs_of_dead_letters_fail_whether_or_not_the_rest_was_sent() -> None:
    bench = Bench(notify=Down("a"))
    bench.put(logs("dead", 1))
    bench.work(logs("a", 1))
    bench.clock.now += 1000
    found = swept(bench, letters=MemoryDeadLetters([message("dead").body]))
    assert found == Swept(buried=1, failed=1)
    assert bench.states() == {"dead": "FAILED", "a": "DONE"}
    assert bench.notified() == [("dead", "failed")]


def test_letters_that_cannot_be_read_wait_for_the_next_sweep() -> None:
    class Gone(MemoryDeadLetters):
        def look(self, most: int) -> list[str]:
            raise Transient("sqs did not answer")

    bench = Bench()
    bench.jobs.accept(logs("b", 1))
    bench.clock.now += GRACE_SECONDS + 1
    assert swept(bench, letters=Gone()) == Swept(announced=1)


# ---- jobs of dead letters ---------------------------------------------------------------------


def letters(*jobs: str) -> MemoryDeadLetters:
    return MemoryDeadLetters([message(job).body for job in jobs])


def test_a_job_whose_worker_died_each_time_fails_and_is_published() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    for attempt in range(5):
        bench.jobs.lease("a", f"w{attempt}", NOW + 360 * attempt, 90)
    bench.clock.now = NOW + 360 * 5
    dead = letters("a")
    assert bench.reconciler(dead).fail_dead_jobs() == 1
    found = bench.jobs.get("a")
    assert (found.state, found.problem, found.attempts) == ("FAILED", PROBLEM, 6)
    assert bench.notified() == [("a", "failed")]
    # the letter stays, and nothing happens to its job again
    assert bench.reconciler(dead).fail_dead_jobs() == 0
    assert bench.notified() == [("a", "failed")]


def test_an_accepted_job_fails_once_nobody_touched_it_for_as_long_as_a_message_hides() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    lease = bench.jobs.lease("a", "w", NOW + 10, 90).lease
    assert lease is not None
    bench.jobs.release("a", lease, NOW + 20)
    bench.clock.now = NOW + 20 + QUIET_SECONDS - 1
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 0
    bench.clock.now += 1
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 1
    assert bench.states() == {"a": "FAILED"}


def test_a_job_that_is_worked_on_is_let_be() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    found = bench.jobs.lease("a", "w", NOW, 2 * QUIET_SECONDS)
    bench.clock.now = NOW + QUIET_SECONDS + 1
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 0
    assert bench.jobs.get("a") == found


@pytest.mark.parametrize("outcome", [JobOutcome(problem={"status": 400}), None])
def test_an_end_stays(outcome: JobOutcome | None) -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    if outcome is None:
        bench.jobs.cancel("a", None, NOW)
    else:
        lease = bench.jobs.lease("a", "w", NOW, 90).lease
        assert lease is not None
        bench.jobs.settle("a", lease, outcome, NOW)
    before = bench.jobs.get("a")
    bench.clock.now += 1000
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 0
    assert bench.jobs.get("a") == before


def test_a_job_past_its_deadline_expires() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    bench.clock.now = NOW + 3600
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 0
    assert bench.states() == {"a": "EXPIRED"}
    assert ("a", "expired") in bench.jobs.pending


def test_sagemakers_callers_find_the_failure_where_they_were_told() -> None:
    bench = Bench()
    bench.put(logs("a", 1, inference_id="i"))
    bench.clock.now += 1000
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 1
    assert json.loads(bench.blobs.stored["s3://payloads/results/a.error"]) == PROBLEM


def test_what_is_not_ours_and_what_fails_holds_nobody_up() -> None:
    class Failing(MemoryJobs):
        def lease(self, job: str, worker: str, now: float, seconds: float) -> object:  # type: ignore[override]
            if job == "b":
                raise Transient("dynamodb did not answer")
            return super().lease(job, worker, now, seconds)

    bench = Bench(jobs=Failing())
    bench.put(logs("a", 1), logs("b", 1))
    bench.clock.now += 1000
    dead = MemoryDeadLetters(
        [
            "who is this?",
            JobEvent("a", "failed").message(),
            *letters("unknown", "b", "a", "a").bodies,
        ]
    )
    assert bench.reconciler(dead).fail_dead_jobs() == 1
    assert bench.states() == {"a": "FAILED", "b": "ACCEPTED"}


def test_a_sweep_that_crashes_between_its_writes_is_followed_by_another() -> None:
    class Dying(MemoryJobs):
        dead = False

        def settle(self, *given: Any, **more: Any) -> JobEvent:
            if not self.dead:
                self.dead = True
                raise KeyboardInterrupt
            return super().settle(*given, **more)

    bench = Bench(jobs=Dying())
    bench.put(logs("a", 1))
    bench.clock.now += 1000
    with pytest.raises(KeyboardInterrupt):
        bench.reconciler(letters("a")).fail_dead_jobs()
    bench.clock.now += QUIET_SECONDS
    assert bench.reconciler(letters("a")).fail_dead_jobs() == 1
    assert bench.states() == {"a": "FAILED"}


def test_an_end_that_cannot_be_sent_waits_in_the_outbox() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    bench.clock.now += 1000
    publisher = OutboxPublisher(bench.jobs, work=bench.queue, notify=Down("a"))
    assert bench.reconciler(letters("a"), publisher=publisher).fail_dead_jobs() == 1
    assert set(bench.jobs.pending) == {("a", "failed")}


def test_a_look_is_bounded_by_letters_and_by_time() -> None:
    bench = Bench()
    names = [str(number) for number in range(MAX_DEAD_LETTERS + 1)]
    bench.put(*(logs(name, 1) for name in names))
    bench.clock.now += 1000
    times = iter([True] * 3)
    assert bench.reconciler(letters(*names)).fail_dead_jobs(lambda: next(times, False)) == 3
    assert bench.reconciler(letters(*names)).fail_dead_jobs() == MAX_DEAD_LETTERS - 3
