"""What a worker does to jobs, call by call: what it leases and settles, what its messages say."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Barrier
from typing import Any

import pytest
from tests.kits.models import NOW
from tests.kits.workers import LEASE_SECONDS, Bench, logs, message

from quintet.errors import Transient
from quintet.jobs.job import MAX_BROKEN, Job, Lease
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.messages import MessageResult
from quintet.jobs.store import INLINE_RESULT
from quintet.jobs.transitions import Answered, JobTransitions, LeasedJob, concurrently
from quintet.jobs.units import Waiting
from quintet.protocols.http import Response

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class OneByOne(MemoryJobs):
    """A store that refuses to read, lease or settle many jobs at once."""

    def read_many(self, jobs: Sequence[str]) -> Any:
        raise Transient("dynamodb did not answer")

    def lease_many(self, jobs: Sequence[Job], *given: Any) -> Any:
        raise Transient("dynamodb did not answer")

    def settle_many(self, ends: Any, now: float) -> Any:
        raise Transient("dynamodb did not answer")


def transitions(bench: Bench, **changes: Any) -> JobTransitions:
    return bench.worker(**changes).jobs


def leased(bench: Bench, *names: str) -> list[LeasedJob]:
    """Jobs leased by w1, each alone."""
    waiting = [Waiting(name, message(name)) for name in names]
    found = [transitions(bench).lease("w1", [one]) for one in waiting]
    assert [others for _, others in found] == [[]] * len(names)
    return [one for held, _ in found for one in held]


def test_jobs_that_cannot_be_read_together_are_leased_unread() -> None:
    bench = Bench(jobs=OneByOne())
    bench.put(logs("a", 1), logs("b", 1))
    jobs = transitions(bench)
    waiting, others = jobs.read({name: message(name) for name in ("a", "b")})
    assert (waiting, others) == ([Waiting(name, message(name)) for name in ("a", "b")], [])
    held, others = jobs.lease("w1", waiting)
    assert others == []
    lease = Lease("w1", 1, NOW + LEASE_SECONDS)
    assert {one.job.id: one.lease for one in held} == {"a": lease, "b": lease}


def test_jobs_that_cannot_be_leased_together_are_leased_alone() -> None:
    bench = Bench(jobs=OneByOne())
    bench.put(logs("a", 1), logs("b", 1))
    unit = [Waiting(name, message(name), bench.jobs.get(name)) for name in ("a", "b")]
    held, others = transitions(bench).lease("w1", unit)
    assert ([one.job.id for one in held], others) == (["a", "b"], [])
    assert bench.states() == {"a": "LEASED", "b": "LEASED"}


def test_jobs_that_cannot_be_settled_together_are_settled_alone() -> None:
    bench = Bench(jobs=OneByOne())
    bench.put(logs("a", 1), logs("b", 1))
    answered = [
        Answered(one, Response(200, b"{}", "application/json"), rows)
        for rows, one in enumerate(leased(bench, "a", "b"), 1)
    ]
    found = transitions(bench).settle(answered)
    assert [(one.job, one.event, one.acknowledged, one.rows) for one in found] == [
        ("a", "completed", True, 1),
        ("b", "completed", True, 2),
    ]
    assert bench.notified() == [("a", "completed"), ("b", "completed")]


def test_a_message_says_which_job_and_trace_it_was_of() -> None:
    bench = Bench()
    bench.put(logs("a", 1, traceparent=TRACE))
    (one,) = leased(bench, "a")
    found = one.result("completed", True, "why", 3)
    assert found == MessageResult(
        message("a"), "completed", True, "a", "log", 1, 3, "why", traceparent=TRACE
    )


def test_a_job_that_another_worker_holds_says_so_read_or_not() -> None:
    bench = Bench()
    bench.put(logs("a", 1), logs("b", 1))
    bench.jobs.lease("a", "w2", NOW, 60)
    jobs = transitions(bench)
    _, (read,) = jobs.read({name: message(name) for name in ("a", "b")})
    _, (asked,) = jobs.lease("w1", [Waiting("a", message("a"))])
    assert (
        read
        == asked
        == MessageResult(
            message("a"), "held by another", False, "a", reason="another worker holds the job"
        )
    )


def test_a_message_that_is_no_dead_letter_yet_keeps_both_reasons() -> None:
    class Full:
        def put(self, body: str) -> None:
            raise Transient("sqs did not answer")

    result = MessageResult(message("a"), "not ours", True, "a", reason="odd")
    found = transitions(Bench(), letters=Full()).bury(result)
    assert (found.acknowledged, found.reason) == (False, "odd; sqs did not answer")


def test_a_large_result_keeps_its_type_beside_its_place() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    (one,) = leased(bench, "a")
    body = b"1" * (INLINE_RESULT + 1)
    transitions(bench).settle([Answered(one, Response(200, body, "text/csv", {"x": "y"}))])
    found = bench.jobs.get("a").result
    assert found is not None and found.place is not None
    assert (found.content_type, found.size, found.body) == ("text/csv", len(body), None)
    assert (found.headers, bench.blobs.types[found.place]) == ({"x": "y"}, "text/csv")


def test_a_poison_job_that_was_cancelled_is_acknowledged_as_settled() -> None:
    bench = Bench()
    bench.put(logs("a", 1))

    class Cancels:
        def put(self, body: str) -> None:
            bench.jobs.cancel("a", "ann", NOW)

    bench.jobs.jobs["a"] = logs("a", 1, broken=MAX_BROKEN)
    held, (found,) = transitions(bench, letters=Cancels()).lease("w1", [Waiting("a", message("a"))])
    assert (held, found.event, found.acknowledged, found.reason) == (
        [],
        "settled before",
        True,
        "CANCELLED",
    )


def test_a_lease_that_ran_out_is_named_as_the_reason_for_another_attempt() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    (one,) = leased(bench, "a")
    bench.clock.now += LEASE_SECONDS
    answer = Response(200, b"{}", "application/json")
    (found,) = transitions(bench).settle([Answered(one, answer)])
    assert (found.event, found.acknowledged) == ("to be tried again", False)
    assert found.reason == "the lease on the job is lost"
    assert bench.jobs.get("a").state == "ACCEPTED"


@pytest.mark.parametrize(("threads", "items"), [(2, 2), (3, 3), (2, 4)])
def test_calls_wait_at_the_same_time(threads: int, items: int) -> None:
    together = Barrier(threads)

    def meet(item: int) -> int:
        together.wait(timeout=60)
        return -item

    assert concurrently(threads, meet, range(items)) == [-item for item in range(items)]
