"""The job stores keep one contract: in memory, and in DynamoDB on moto."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.aws import moto_server
from tests.kits.jobs import NOW, RESULT, TTL, job, job_table

from quintet.errors import BadInput, NotFound
from quintet.jobs.job import Busy, Content, Job, JobOutcome, JobRollout, Lease, LostLease, Settled
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.store import IdempotencyKey, JobEvent, JobStore, JobSummary, KeyReused

DONE = JobOutcome(result=RESULT)
PROBLEM = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "amount"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobs()
    return job_table(request.getfixturevalue("url"))


def lease_of(store: JobStore, worker: str = "w1", now: float = NOW, seconds: float = 60) -> Lease:
    found = store.lease("j1", worker, now, seconds).lease
    assert found is not None
    return found


# ---- acceptance ----------------------------------------------------------------------------


def test_an_accepted_job_is_stored_with_its_notice(store: JobStore) -> None:
    body = Content("application/octet-stream", 3, b"\x00\xff\n", headers={"a": "b"})
    made = job(request=body, endpoint="crm", notify_topic=True, inference_id="i-1")
    made = replace(made, output="results/team/j1", run_limit=30, traceparent="00-a-b-01")
    made = replace(made, rollout=JobRollout("r1", 2, 4, 0.1))
    event = JobEvent("j1", "accepted", NOW)
    assert store.accept(made) == (made, event)
    assert store.get("j1") == made
    assert store.outbox(NOW + 1) == [event]
    assert store.outbox(NOW) == []


def test_a_request_in_s3_is_kept_by_its_place(store: JobStore) -> None:
    made = job(request=Content("text/csv", 10**8, place="s3://bucket/inputs/a.csv"))
    store.accept(made)
    assert store.get("j1") == made


def test_the_same_key_and_payload_lead_to_the_same_job(store: JobStore) -> None:
    store.accept(job("j1"), IdempotencyKey("k", "payload"))
    assert store.accept(job("j2"), IdempotencyKey("k", "payload")) == (job("j1"), None)
    with pytest.raises(NotFound):
        store.get("j2")
    assert [event.job for event in store.outbox(NOW + 1)] == ["j1"]


def test_the_same_key_with_another_payload_is_refused(store: JobStore) -> None:
    store.accept(job("j1"), IdempotencyKey("k", "payload"))
    with pytest.raises(KeyReused, match="Idempotency-Key: expected a new key"):
        store.accept(job("j2"), IdempotencyKey("k", "other"))
    with pytest.raises(NotFound):
        store.get("j2")


def test_a_key_is_its_callers_own(store: JobStore) -> None:
    store.accept(job("j1"), IdempotencyKey("k", "payload"))
    other = job("j2", owner="bob")
    assert store.accept(other, IdempotencyKey("k", "other"))[0] == other


def test_a_key_is_forgotten_after_the_retention(store: JobStore) -> None:
    key = IdempotencyKey("k", "payload")
    store.accept(job("j1"), key)
    end = NOW + 7 * 86_400
    assert store.earlier("ann", key, end - 1) == job("j1")
    assert store.earlier("ann", key, end) is None
    again = job("j2", created=end, updated=end, deadline=end + TTL)
    assert store.accept(again, IdempotencyKey("k", "other")) == (
        again,
        JobEvent("j2", "accepted", end),
    )
    with pytest.raises(KeyReused):
        store.earlier("ann", key, end)


@pytest.mark.parametrize("key", [None, IdempotencyKey("k", "payload")])
def test_a_job_that_is_accepted_again_goes_on(store: JobStore, key: IdempotencyKey | None) -> None:
    """A submission whose reply was lost is sent again when a worker already has the job."""
    _, event = store.accept(job(), key)
    lease_of(store)
    held = store.get("j1")
    assert store.accept(job(), key) == (held, event)
    assert store.get("j1") == held


# ---- leases --------------------------------------------------------------------------------


def test_a_lease_has_its_workers_name_and_a_fence(store: JobStore) -> None:
    store.accept(job())
    lease = Lease("w1", 1, NOW + 61)
    expected = job(state="LEASED", attempts=1, lease=lease, updated=NOW + 1)
    assert store.lease("j1", "w1", NOW + 1, 60) == expected
    assert store.get("j1") == expected
    # a first reply that was lost
    assert store.lease("j1", "w1", NOW + 2, 60) == expected


def test_a_leased_job_is_busy_until_the_lease_runs_out(store: JobStore) -> None:
    store.accept(job())
    lease_of(store)
    with pytest.raises(Busy):
        store.lease("j1", "w2", NOW + 59, 60)
    assert lease_of(store, "w2", NOW + 60) == Lease("w2", 2, NOW + 120)


def test_a_run_that_broke_off_is_counted_by_whoever_takes_its_lease_over(store: JobStore) -> None:
    store.accept(job())
    lease_of(store)
    taken = store.lease("j1", "w2", NOW + 60, 60)
    assert (taken.attempts, taken.broken, store.get("j1")) == (2, 1, taken)
    assert store.lease("j1", "w2", NOW + 61, 60) == taken  # a reply that was lost
    assert store.lease_many([taken], "w3", NOW + 300, 60) == {}  # that asks for it alone


@pytest.mark.parametrize("broke", [False, True])
def test_a_release_says_whether_the_run_broke_off(store: JobStore, broke: bool) -> None:
    store.accept(job())
    store.release("j1", lease_of(store), NOW + 1, broke=broke)
    assert store.get("j1").broken == broke
    assert store.lease("j1", "w2", NOW + 2, 60).broken == broke


def test_a_job_that_changed_since_it_was_read_is_left_out(store: JobStore) -> None:
    accepted(store, ["m1", "m2"])
    read = store.read_many(["m1", "m2"])
    store.release("m1", store.lease("m1", "w2", NOW, 60).lease or Lease("", 0, 0), NOW + 1)
    assert set(store.lease_many([*read.values()], "w1", NOW + 2, 60)) == {"m2"}


def test_a_zombie_changes_nothing(store: JobStore) -> None:
    store.accept(job())
    old = lease_of(store)
    lease_of(store, "w2", NOW + 60)
    before = store.get("j1")
    with pytest.raises(LostLease):
        store.settle("j1", old, DONE, NOW + 61)
    with pytest.raises(LostLease):
        store.release("j1", old, NOW + 61)
    assert store.get("j1") == before
    assert [event.kind for event in store.outbox(NOW + 100)] == ["accepted"]


def test_a_workers_own_older_lease_changes_nothing(store: JobStore) -> None:
    store.accept(job())
    old = lease_of(store)
    new = lease_of(store, now=NOW + 60)
    assert (old.owner, old.fence, new.owner, new.fence) == ("w1", 1, "w1", 2)
    with pytest.raises(LostLease):
        store.settle("j1", old, DONE, NOW + 61)
    assert store.get("j1").lease == new


def test_a_lease_that_ran_out_settles_nothing_even_if_nobody_took_it(store: JobStore) -> None:
    store.accept(job())
    lease = lease_of(store)
    with pytest.raises(LostLease):
        store.settle("j1", lease, DONE, NOW + 60)
    assert store.get("j1").state == "LEASED"


def test_a_released_job_is_free_at_once(store: JobStore) -> None:
    store.accept(job())
    first = lease_of(store)
    store.release("j1", first, NOW + 1)
    assert store.get("j1").state == "ACCEPTED"
    assert lease_of(store, "w2", NOW + 2).fence == 2
    with pytest.raises(LostLease):
        store.settle("j1", first, DONE, NOW + 3)


@pytest.mark.parametrize("identity", ["nobody", "", "a#b", "x" * 3000])
def test_an_unknown_job_is_not_found(store: JobStore, identity: str) -> None:
    store.accept(job(), IdempotencyKey("k", "payload"))
    with pytest.raises(NotFound):
        store.get(identity)
    with pytest.raises(NotFound):
        store.lease(identity, "w1", NOW, 60)
    with pytest.raises(NotFound):
        store.cancel(identity, None, NOW)
    with pytest.raises(NotFound):
        store.release(identity, Lease("w1", 1, NOW + 60), NOW)
    with pytest.raises(NotFound):
        store.settle(identity, Lease("w1", 1, NOW + 60), DONE, NOW)
    with pytest.raises(NotFound):
        store.expire(identity, NOW)


# ---- ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state", "kind"),
    [(DONE, "DONE", "completed"), (JobOutcome(problem=PROBLEM), "FAILED", "failed")],
)
def test_a_settled_job_keeps_its_outcome_and_is_published(
    store: JobStore, outcome: JobOutcome, state: str, kind: str
) -> None:
    store.accept(job())
    store.sent(JobEvent("j1", "accepted"))
    lease = lease_of(store)
    event = JobEvent("j1", kind, NOW + 5)
    assert store.settle("j1", lease, outcome, NOW + 5) == event
    end = job(
        state=state,
        attempts=1,
        lease=lease,
        updated=NOW + 5,
        result=outcome.result,
        problem=outcome.problem,
    )
    assert store.get("j1") == end
    assert store.outbox(NOW + 6) == [event]
    # again, as after a reply that was lost
    assert store.settle("j1", lease, outcome, NOW + 7) == event
    assert store.outbox(NOW + 6) == [event]
    with pytest.raises(Settled, match=state):
        store.lease("j1", "w2", NOW + 100, 60)
    with pytest.raises(Settled):
        store.cancel("j1", "ann", NOW + 8)
    with pytest.raises(Settled):
        store.expire("j1", NOW + TTL)
    assert store.get("j1") == end
    assert store.overdue(NOW + 10 * TTL) == []


def test_a_cancelled_job_costs_its_worker_the_lease(store: JobStore) -> None:
    store.accept(job())
    lease = lease_of(store)
    end, event = store.cancel("j1", "ann", NOW + 1)
    assert (end.state, event) == ("CANCELLED", JobEvent("j1", "cancelled", NOW + 1))
    with pytest.raises(LostLease):
        store.settle("j1", lease, DONE, NOW + 2)
    with pytest.raises(Settled):
        store.lease("j1", "w2", NOW + 2, 60)
    assert store.get("j1") == end
    assert store.cancel("j1", "ann", NOW + 3) == (end, None)


def test_others_can_neither_see_nor_cancel_a_job(store: JobStore) -> None:
    store.accept(job())
    with pytest.raises(NotFound):
        store.get("j1", "bob")
    with pytest.raises(NotFound):
        store.cancel("j1", "bob", NOW)
    assert store.get("j1", "ann") == job()


# ---- many at once ----------------------------------------------------------------------------

MANY = [f"m{number}" for number in range(12)]


def accepted(store: JobStore, names: list[str], **changes: Any) -> None:
    for name in names:
        _, event = store.accept(job(name, **changes))
        assert event is not None
        store.sent(event)


def leases_of(store: JobStore, names: list[str]) -> Mapping[str, Job]:
    return store.lease_many([*store.read_many(names).values()], "w1", NOW, 60)


def test_many_jobs_are_leased_as_each_alone_would_be(store: JobStore) -> None:
    accepted(store, MANY)
    store.lease("m1", "w2", NOW, 60)  # another's
    store.cancel("m2", "ann", NOW)
    asked = [*(f"nobody-{number}" for number in range(95)), *MANY]  # two transactions of leases
    read = store.read_many([*asked, "", "outbox#accepted#m0"])
    assert read == {name: store.get(name) for name in MANY}
    found = store.lease_many([*read.values()], "w1", NOW + 1, 60)
    assert set(found) == {*MANY} - {"m1", "m2"}
    for name, held in found.items():
        assert held == store.get(name)
        assert (held.state, held.lease) == ("LEASED", Lease("w1", 1, NOW + 61))
    # again, as after a reply that was lost: what is left out is asked for alone
    assert store.lease_many([read["m0"], read["m3"]], "w1", NOW + 2, 60) == {}
    for name in ("m0", "m3"):
        assert store.lease(name, "w1", NOW + 2, 60) == found[name]
    assert store.lease_many([], "w1", NOW, 60) == {}


def test_many_jobs_are_settled_as_each_alone_would_be(store: JobStore) -> None:
    names = [f"m{number}" for number in range(51)]  # two transactions of ends and events
    accepted(store, names, endpoint="crm")
    accepted(store, ["quiet"])
    held = leases_of(store, [*names, "quiet"])
    store.cancel("m1", "ann", NOW + 1)
    outcomes = {name: JobOutcome(problem=PROBLEM) if name == "m3" else DONE for name in held}
    ends = [(held[name], outcome) for name, outcome in outcomes.items()]
    events = store.settle_many(ends, NOW + 2)
    states = {"m1": "CANCELLED", "m3": "FAILED"}
    assert {name: store.get(name).state for name in held} == {
        name: states.get(name, "DONE") for name in held
    }
    assert events == {
        name: JobEvent(name, "failed" if name == "m3" else "completed", NOW + 2)
        for name in held
        if name != "m1"
    }
    assert (store.get("m3").problem, store.get("m4").result) == (PROBLEM, RESULT)
    left = store.outbox(NOW + 10, most=1000)
    cancelled = JobEvent("m1", "cancelled", NOW + 1)
    told = [event for name, event in events.items() if name != "quiet"]
    assert sorted(left, key=str) == sorted([cancelled, *told], key=str)
    store.sent_many(told)
    assert store.outbox(NOW + 10, most=1000) == [cancelled]
    # again, as after a reply that was lost: the ends stay
    store.settle_many(ends, NOW + 3)
    assert store.settle("m0", held["m0"].lease or Lease("", 0, 0), DONE, NOW + 4) == events["m0"]


def test_a_lease_that_ran_out_settles_nothing_among_many_either(store: JobStore) -> None:
    accepted(store, MANY[:3])
    held = leases_of(store, MANY[:3])
    assert store.settle_many([(one, DONE) for one in held.values()], NOW + 60) == {}
    assert {store.get(name).state for name in held} == {"LEASED"}


def test_large_ends_take_several_transactions(store: JobStore) -> None:
    accepted(store, MANY)
    held = leases_of(store, MANY)
    body = b"x" * 380_000
    large = JobOutcome(Content("text/plain", len(body), body))
    assert set(store.settle_many([(one, large) for one in held.values()], NOW)) == set(held)
    assert store.get("m11").result == large.result


def test_an_end_that_nobody_asked_about_has_no_event(store: JobStore) -> None:
    accepted(store, ["j1"])
    event = store.settle("j1", lease_of(store), DONE, NOW + 5, notify=False)
    assert (event, store.get("j1").state) == (JobEvent("j1", "completed", NOW + 5), "DONE")
    assert store.outbox(NOW + 10) == []


def test_a_job_expires_at_its_deadline_and_not_before(store: JobStore) -> None:
    store.accept(job())
    store.sent(JobEvent("j1", "accepted"))
    with pytest.raises(Busy):
        store.expire("j1", NOW + TTL - 1)
    assert store.overdue(NOW + TTL - 1) == []
    assert store.overdue(NOW + TTL + 1) == ["j1"]
    event = JobEvent("j1", "expired", NOW + TTL)
    assert store.expire("j1", NOW + TTL) == event
    assert store.get("j1") == job(state="EXPIRED", updated=NOW + TTL)
    assert store.expire("j1", NOW + TTL + 1) is None
    assert store.outbox(NOW + 2 * TTL) == [event]


def test_a_job_past_its_deadline_is_not_begun(store: JobStore) -> None:
    store.accept(job())
    with pytest.raises(Settled, match="EXPIRED"):
        store.lease("j1", "w1", NOW + TTL, 60)
    assert store.get("j1").state == "EXPIRED"


def test_what_is_worked_on_at_its_deadline_may_come_to_its_end(store: JobStore) -> None:
    store.accept(job())
    lease = lease_of(store, now=NOW + TTL - 1)
    with pytest.raises(Busy):
        store.expire("j1", NOW + TTL + 1)
    store.settle("j1", lease, DONE, NOW + TTL + 2)
    assert store.get("j1").state == "DONE"


# ---- lists and the outbox --------------------------------------------------------------------


def test_a_callers_jobs_come_newest_first_in_pages(store: JobStore) -> None:
    for number in range(5):
        store.accept(job(f"j{number}", created=NOW + number, updated=NOW + number))
    store.accept(job("other", owner="bob"))
    first = store.page("ann", most=2)
    assert first.jobs == [
        JobSummary("j4", "shop", 3, "ACCEPTED", NOW + 4, NOW + 4),
        JobSummary("j3", "shop", 3, "ACCEPTED", NOW + 3, NOW + 3),
    ]
    second = store.page("ann", most=2, after=first.next)
    third = store.page("ann", most=2, after=second.next)
    assert [found.id for found in second.jobs + third.jobs] == ["j2", "j1", "j0"]
    assert third.next is None
    assert store.page("nobody").jobs == []


def test_a_list_is_filtered_by_model_and_state(store: JobStore) -> None:
    store.accept(job("j1"))
    store.accept(job("j2", model="log"))
    store.accept(job("j3"))
    store.cancel("j3", "ann", NOW + 1)
    assert [found.id for found in store.page("ann", model="log").jobs] == ["j2"]
    cancelled = store.page("ann", model="shop", state="CANCELLED").jobs
    assert cancelled == [JobSummary("j3", "shop", 3, "CANCELLED", NOW, NOW + 1)]


def test_a_filtered_page_reads_so_much_and_no_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quintet.aws.jobs.MAX_EXAMINED", 2)
    store = job_table(url)
    for number in range(9):
        store.accept(job(f"j{number}", created=NOW + number, updated=NOW + number))
    for name in ("j0", "j1", "j8"):
        store.cancel(name, "ann", NOW + 10)
    pages = [store.page("ann", state="CANCELLED", most=2)]
    while pages[-1].next is not None:
        pages.append(store.page("ann", state="CANCELLED", most=2, after=pages[-1].next))
    # nine jobs, six a page
    assert [[found.id for found in page.jobs] for page in pages] == [["j8"], ["j1", "j0"]]
    monkeypatch.undo()
    whole = store.page("ann", state="CANCELLED", most=2)
    assert ([found.id for found in whole.jobs], whole.next is None) == (["j8", "j1"], False)


@pytest.mark.parametrize("token", ["x", "", "bm8=", "WzFd", "[]"])
def test_a_place_that_is_none_is_refused(store: JobStore, token: str) -> None:
    store.accept(job())
    with pytest.raises(BadInput, match="next: expected what a page gave as next"):
        store.page("ann", after=token)


def test_the_oldest_events_come_first_until_they_are_sent(store: JobStore) -> None:
    for number in range(6):
        store.accept(job(f"j{number}", updated=NOW - number))
    assert [event.job for event in store.outbox(NOW + 1, most=3)] == ["j5", "j4", "j3"]
    store.sent(JobEvent("j5", "accepted"))
    store.sent(JobEvent("j5", "accepted"))
    assert [event.job for event in store.outbox(NOW + 1, most=2)] == ["j4", "j3"]


def test_the_jobs_longest_overdue_come_first(store: JobStore) -> None:
    for number in range(4):
        store.accept(job(f"j{number}", deadline=NOW + TTL - number))
    assert store.overdue(NOW + TTL + 1, most=2) == ["j3", "j2"]


def test_an_event_is_read_back_from_its_message() -> None:
    event = JobEvent("j1", "accepted", NOW)
    assert JobEvent.read(event.message()) == replace(event, at=0.0)


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[]", "{}", "[" * 9999),
        '{"job": 1, "event": "failed"}',
        '{"job": "j", "event": "x"}',
        '{"job": "j", "event": ["failed"]}',
        '{"job": "j", "event": "failed", "more": 1}',
        '{"job": "j", "event": "failed", "type": "run"}',
    ],
)
def test_a_message_that_is_not_ours_is_refused(body: str) -> None:
    with pytest.raises(BadInput, match="message: expected a job and an event"):
        JobEvent.read(body)
