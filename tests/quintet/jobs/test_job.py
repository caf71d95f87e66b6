"""The state machine of a job: each change from each state, as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.kits.jobs import NOW, RESULT, TTL, job

from quintet.errors import NotFound, QuintetError
from quintet.jobs.job import (
    Busy,
    Job,
    JobOutcome,
    Lease,
    LostLease,
    Settled,
    cancelled,
    expired,
    leased,
    released,
    settled,
    unknown,
)

LEASE = Lease("w1", 4, NOW + 30)
HELD = job(state="LEASED", attempts=4, broken=1, lease=LEASE)
DONE = replace(HELD, state="DONE", result=RESULT)
PROBLEM = {"title": "The model failed", "status": 500}
LATER = NOW + 5
ENDED = [replace(HELD, state=state) for state in ("DONE", "FAILED", "EXPIRED", "CANCELLED")]
#: leases that are not the one held: another worker's, and an older one
OTHERS = [replace(LEASE, owner="w2"), replace(LEASE, fence=3)]


def refusal(error: pytest.ExceptionInfo[QuintetError]) -> str:
    return str(error.value)


def test_a_job_is_leased_with_the_next_fence() -> None:
    assert leased(job(attempts=3, broken=1), "w1", LATER, 30) == job(
        state="LEASED", attempts=4, broken=1, lease=Lease("w1", 4, LATER + 30), updated=LATER
    )


def test_a_lease_that_expires_now_is_taken_over_and_counts_a_broken_run() -> None:
    assert leased(HELD, "w2", LEASE.until, 30) == replace(
        HELD, attempts=5, broken=2, lease=Lease("w2", 5, NOW + 60), updated=NOW + 30
    )


def test_a_held_job_is_its_workers_and_busy_for_others() -> None:
    assert leased(HELD, "w1", LATER, 30) is HELD
    with pytest.raises(Busy) as error:
        leased(HELD, "w2", LATER, 30)
    assert refusal(error) == "another worker holds the job"


def test_a_held_job_stays_its_workers_past_the_deadline() -> None:
    assert leased(replace(HELD, deadline=NOW), "w1", LATER, 30).state == "LEASED"


def test_a_released_job_is_not_held() -> None:
    open_again = replace(HELD, state="ACCEPTED")
    found = leased(open_again, "w1", LATER, 30)
    assert found == replace(HELD, attempts=5, lease=Lease("w1", 5, LATER + 30), updated=LATER)


def test_a_job_is_not_leased_from_its_deadline_on() -> None:
    with pytest.raises(Settled) as error:
        leased(job(), "w1", NOW + TTL, 30)
    assert error.value.job == job(state="EXPIRED", updated=NOW + TTL)
    assert leased(job(), "w1", NOW + TTL - 1, 30).state == "LEASED"


@pytest.mark.parametrize("end", ENDED, ids=lambda end: end.state)
def test_a_job_that_ended_is_not_leased(end: Job) -> None:
    with pytest.raises(Settled) as error:
        leased(end, "w1", LATER, 30)
    assert error.value.job is end
    assert refusal(error) == f"job: expected one that is not settled, got {end.state}"


@pytest.mark.parametrize(("broke", "broken"), [(False, 1), (True, 2)])
def test_a_job_is_released_with_its_last_lease(broke: bool, broken: int) -> None:
    assert released(HELD, LEASE, LATER, broke=broke) == replace(
        HELD, state="ACCEPTED", broken=broken, updated=LATER
    )
    assert released(HELD, LEASE, LATER).broken == 1


@pytest.mark.parametrize(
    "change",
    [
        released,
        lambda job, lease, now: settled(job, lease, JobOutcome(RESULT), now),
    ],
    ids=["released", "settled"],
)
def test_a_lease_that_is_lost_changes_nothing(
    change: Callable[[Job, Lease, float], Job],
) -> None:
    lost = [(HELD, other, LATER) for other in OTHERS]
    lost += [(HELD, LEASE, LEASE.until), (replace(HELD, state="ACCEPTED"), LEASE, LATER)]
    lost += [(replace(HELD, state="CANCELLED"), LEASE, LATER), (job(), LEASE, LATER)]
    lost += [(replace(HELD, lease=None), LEASE, LATER)]
    for given, lease, now in lost:
        with pytest.raises(LostLease) as error:
            change(given, lease, now)
        assert refusal(error) == "the lease on the job is lost"


def test_a_job_is_settled_with_its_outcome() -> None:
    assert settled(HELD, LEASE, JobOutcome(RESULT), LATER) == replace(DONE, updated=LATER)
    assert settled(HELD, LEASE, JobOutcome(problem=PROBLEM), LATER) == replace(
        HELD, state="FAILED", problem=PROBLEM, updated=LATER
    )


def test_a_job_is_settled_once_for_a_lease() -> None:
    failed = replace(DONE, state="FAILED", result=None, problem=PROBLEM)
    for end in (DONE, failed):
        assert settled(end, LEASE, JobOutcome(problem=PROBLEM), LEASE.until + 1) is end
        for other in OTHERS:
            with pytest.raises(LostLease):
                settled(end, other, JobOutcome(RESULT), LATER)


def test_an_open_job_is_cancelled_even_while_it_is_held() -> None:
    for before in (job(), HELD):
        assert cancelled(before, LATER) == replace(before, state="CANCELLED", updated=LATER)


def test_a_job_that_was_cancelled_or_expired_is_so_once() -> None:
    for change, end in ((cancelled, "CANCELLED"), (expired, "EXPIRED")):
        for before in ENDED:
            if before.state == end:
                assert change(before, LATER) is before
                continue
            with pytest.raises(Settled) as error:
                change(before, LATER)
            assert error.value.job is before


def test_a_job_expires_at_its_deadline_unless_it_is_held() -> None:
    due, held = NOW + TTL, replace(LEASE, until=NOW + TTL + 1)
    assert expired(job(), due) == job(state="EXPIRED", updated=due)
    lapsed = replace(HELD, lease=replace(held, until=due))
    assert expired(lapsed, due) == replace(lapsed, state="EXPIRED", updated=due)
    gone = replace(HELD, state="ACCEPTED", lease=held)  # a lease that was given back
    assert expired(gone, due) == replace(gone, state="EXPIRED", updated=due)
    without = replace(HELD, lease=None)
    assert expired(without, due) == replace(without, state="EXPIRED", updated=due)
    for before, now in ((replace(HELD, lease=held), due), (job(), due - 1)):
        with pytest.raises(Busy) as error:
            expired(before, now)
        assert refusal(error) == "the job's time is not over"


def test_what_a_job_says_of_itself() -> None:
    plain = job()
    named = replace(plain, output="theirs/1", endpoint="crm", broken=3)
    about = [
        (one.settled, one.suspect, one.poison, one.result_key, one.failure_key, one.notify)
        for one in (plain, named, HELD, DONE, job(reopened=1), job(broken=2, notify_topic=True))
    ]
    own = ("results/j1", "results/j1.error")
    assert about == [
        (False, False, False, *own, False),
        (False, True, True, "theirs/1", "theirs/1.error", True),
        (False, True, False, *own, False),
        (True, True, False, *own, False),
        (False, True, False, *own, False),
        (False, True, False, *own, True),
    ]


def test_what_an_outcome_says_of_itself() -> None:
    done, failed = JobOutcome(RESULT), JobOutcome(problem=PROBLEM)
    assert [(one.state, one.reason) for one in (done, failed)] == [
        ("DONE", ""),
        ("FAILED", "The model failed"),
    ]


def test_a_job_of_another_caller_is_unknown() -> None:
    assert isinstance(unknown("j"), NotFound)
    assert str(unknown("j" * 99)) == f"job: expected one of your jobs, got {'j' * 60!r}"
