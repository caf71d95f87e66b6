"""A job whose dead letter is replayed: reopened if poison failed it, else left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from tests.kits.aws import client, environ, moto_server
from tests.kits.jobs import NOW, RESULT, TTL, job, job_table

from quintet.aws.client import AwsClient
from quintet.aws.deliveries import JobDeliveries
from quintet.jobs.job import JobOutcome, Lease, LostLease, Settled
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.store import JobEvent
from quintet.replay.aws.jobs import ReplayJobTable
from quintet.replay.jobs import KnownJob, MemoryReplayJobs, ReplayJobs
from quintet.webhooks.delivery import Delivery
from quintet.webhooks.job_events import webhook_id

LATER = NOW + 86_400
POISON = JobOutcome(problem={"title": "Service Unavailable", "status": 503, "detail": "no answer"})
REFUSED = JobOutcome(problem={"title": "Bad Request", "status": 400, "detail": "amount"})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


class Jobs(NamedTuple):
    """The jobs as workers see them, and as a replay does."""

    store: Any
    replay: ReplayJobs


@pytest.fixture
def aws(url: str) -> Jobs:
    store, lean = job_table(url), AwsClient("dynamodb", environ=environ(url))
    return Jobs(store, ReplayJobTable(lean, store.name, lambda: LATER))


@pytest.fixture(params=["memory", "aws"])
def jobs(request: pytest.FixtureRequest) -> Jobs:
    if request.param == "aws":
        found: Jobs = request.getfixturevalue("aws")
        return found
    store = MemoryJobs()
    return Jobs(store, MemoryReplayJobs(store, lambda: LATER))


def end(store: Any, outcome: JobOutcome) -> Lease:
    """Accept a job and settle it, by a lease that comes back."""
    store.accept(job())
    lease: Lease | None = store.lease("j1", "w1", NOW, 60).lease
    assert lease is not None
    store.settle("j1", lease, outcome, NOW + 1)
    return lease


def item(url: str, store: Any) -> dict[str, Any]:
    key = {"job": {"S": "j1"}}
    found = client("dynamodb", url).get_item(TableName=store.name, Key=key)["Item"]
    return dict(found)


def test_a_job_that_poison_failed_is_accepted_anew(jobs: Jobs) -> None:
    store, table = jobs
    end(store, POISON)
    assert table.find("j1") == KnownJob("shop", "FAILED", "no answer")
    assert table.reopen("j1")
    assert store.get("j1") == replace(
        job(), attempts=1, updated=LATER, deadline=LATER + TTL, reopened=1
    )
    # the sweep would expire it again, should its message be lost
    assert store.overdue(LATER + TTL + 1) == ["j1"]
    assert table.find("j1") == KnownJob("shop", "ACCEPTED")


def test_it_is_kept_as_long_as_a_new_one(url: str, aws: Jobs) -> None:
    end(aws.store, POISON)
    before = item(url, aws.store)
    assert aws.replay.reopen("j1")
    after = item(url, aws.store)
    assert int(after["expires"]["N"]) - int(before["expires"]["N"]) == LATER - NOW


def test_it_is_reopened_once(jobs: Jobs) -> None:
    store, table = jobs
    end(store, POISON)
    assert [table.reopen("j1"), table.reopen("j1")] == [True, False]


def test_a_worker_of_before_can_change_nothing(jobs: Jobs) -> None:
    store, table = jobs
    lease = end(store, POISON)
    table.reopen("j1")
    with pytest.raises(LostLease):
        store.settle("j1", lease, JobOutcome(result=RESULT), NOW + 2)
    again = store.lease("j1", "w1", LATER, 60).lease
    assert again is not None
    assert again.fence == lease.fence + 1
    with pytest.raises(LostLease):
        store.settle("j1", lease, JobOutcome(result=RESULT), NOW + 2)


def test_its_second_end_is_told_as_news(url: str, aws: Jobs) -> None:
    store, table = aws
    end(store, POISON)
    records = JobDeliveries(AwsClient("dynamodb", environ=environ(url)), store.name)
    records.put("j1", "webhook", Delivery("delivered", 1, "200", NOW, 0.0, NOW))
    first = webhook_id(store.get("j1"))
    table.reopen("j1")
    assert records.get("j1", "webhook") == Delivery()
    lease = store.lease("j1", "w2", LATER, 60).lease
    assert lease is not None
    done = JobOutcome(result=RESULT)
    assert store.settle("j1", lease, done, LATER + 1) == JobEvent("j1", "completed", LATER + 1)
    assert (first, webhook_id(store.get("j1"))) == ("job_j1", "job_j1_1")


@pytest.mark.parametrize("outcome", [REFUSED, JobOutcome(result=RESULT)])
def test_a_job_that_came_to_its_own_end_stays_so(jobs: Jobs, outcome: JobOutcome) -> None:
    store, table = jobs
    end(store, outcome)
    before = store.get("j1")
    assert not table.reopen("j1")
    assert store.get("j1") == before
    with pytest.raises(Settled):
        store.lease("j1", "w2", LATER, 60)


def test_an_open_job_stays_as_it_is(jobs: Jobs) -> None:
    store, table = jobs
    store.accept(job())
    assert not table.reopen("j1")
    assert store.get("j1") == job()


@pytest.mark.parametrize("name", ["j2", "", "outbox#failed#j1"])
def test_what_is_no_job_is_unknown(jobs: Jobs, name: str) -> None:
    store, table = jobs
    end(store, POISON)
    assert (table.find(name), table.reopen(name)) == (None, False)
