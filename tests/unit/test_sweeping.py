"""The sweep on ports in memory: late notices go out, late jobs expire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.onlinekit import NOW
from tests.workkit import Bench, logs, message

from quintet.errors import Transient
from quintet.jobs.burying import DeadLetters, MemoryDeadLetters
from quintet.jobs.dispatch import MemoryEventQueue, OutboxPublisher
from quintet.jobs.store import JobEvent
from quintet.jobs.sweeping import GRACE_SECONDS, Swept, sweep


class Down(MemoryEventQueue):
    """A queue that takes nothing for some jobs."""

    def __init__(self, *jobs: str) -> None:
        super().__init__()
        self.jobs = jobs

    def send(self, notice: JobEvent, delay: int = 0) -> None:
        if notice.job in self.jobs:
            raise Transient("sqs did not answer")
        super().send(notice, delay)


def swept(
    bench: Bench,
    has_time: Callable[[], bool] = lambda: True,
    letters: DeadLetters | None = None,
) -> Swept:
    publisher = OutboxPublisher(bench.jobs, work=bench.queue, notify=bench.notify)
    fail_dead_jobs = bench.reconciler(letters).fail_dead_jobs
    return sweep(bench.jobs, publisher, fail_dead_jobs, bench.clock(), has_time)


def test_late_notices_are_sent_to_the_queue_of_their_event_once() -> None:
    bench = Bench(notify=Down("a"))
    bench.work(logs("a", 1))
    bench.jobs.accept(logs("b", 1))
    assert swept(bench) == Swept()  # whoever wrote them sends them
    bench.clock.now += GRACE_SECONDS + 1
    bench.notify = MemoryEventQueue()
    assert swept(bench) == Swept(announced=2)
    assert bench.told() == [("a", "completed")]
    assert bench.queue.messages == [message("b").body]
    assert swept(bench) == Swept()


def test_jobs_past_their_deadline_expire_and_are_announced() -> None:
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
    assert sorted(bench.told()) == [("dead", "expired"), ("late", "expired")]


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
    assert bench.told() == [("dead", "failed")]


def test_letters_that_cannot_be_read_wait_for_the_next_sweep() -> None:
    class Gone(MemoryDeadLetters):
        def look(self, most: int) -> list[str]:
            raise Transient("sqs did not answer")

    bench = Bench()
    bench.jobs.accept(logs("b", 1))
    bench.clock.now += GRACE_SECONDS + 1
    assert swept(bench, letters=Gone()) == Swept(announced=1)
