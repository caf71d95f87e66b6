"""The ports of jobs, their queues and their callbacks, in memory and on AWS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.kits.jobs import NOW, RESULT, TTL, job
from tests.ports.pair import Aws, Pair, outcome

from quintet.aws.caller_keys import KeyTable
from quintet.aws.deliveries import EventDeliveries, JobDeliveries
from quintet.aws.endpoints import EndpointTable
from quintet.aws.jobs import JobTable
from quintet.aws.payloads import PayloadBucket
from quintet.aws.queues import DeadLetterQueue, JobEventQueue, QueueVisibility
from quintet.aws.slots import EndpointSlots
from quintet.callers.keys import Key, Keys, MemoryKeys
from quintet.jobs.job import JobOutcome, Lease
from quintet.jobs.memory import MemoryBlobs, MemoryJobs
from quintet.jobs.messages import (
    DeadLetterBox,
    EventQueue,
    MemoryEventQueue,
    MemoryVisibility,
    Visibility,
)
from quintet.jobs.store import Blobs, IdempotencyKey, JobEvent, JobStore
from quintet.jobs.sweep import DeadLetters, MemoryDeadLetters
from quintet.webhooks.delivery import Deliveries, Delivery, MemoryDeliveries
from quintet.webhooks.endpoints import Endpoint, Endpoints, MemoryEndpoints, Secret
from quintet.webhooks.slots import MemorySlots, Slots

__all__ = ["JOB_PAIRS"]

KEY, NEW_KEY = IdempotencyKey("k", "payload"), IdempotencyKey("n", "payload")
ACCEPTED = [JobEvent("j1", "accepted", NOW), JobEvent("l1", "accepted", NOW)]
DONE = JobOutcome(result=RESULT)
LEASE = Lease("w1", 1, NOW + 60)
LEASED = job("l1", state="LEASED", attempts=1, lease=LEASE, endpoint="crm")
LATE = NOW + TTL + 1


def _jobs(store: Any) -> None:
    """j1 is accepted, l1 leased."""
    store.accept(job("j1"), KEY)
    store.accept(job("l1", endpoint="crm"))
    store.lease("l1", "w1", NOW, 60)


def _stored_jobs(store: Any, aws: Aws | None) -> Any:
    found = [outcome(lambda name=name: store.get(name)) for name in ("j1", "l1", "new")]  # type: ignore[misc]
    return found, _events(store)


def _events(store: Any) -> list[JobEvent]:
    return sorted(store.outbox(NOW + 10 * TTL), key=str)


def _endpoint(name: str, **changes: Any) -> Endpoint:
    secrets = (Secret("whsec_" + "a" * 43, None),)
    made = Endpoint(id=name, url="https://crm.example/a", created="now", secrets=secrets)
    return replace(made, **changes)


def _events_sent(queue: Any, aws: Aws | None) -> set[str]:
    return set(queue.messages) if aws is None else aws.bodies()


def _delivery_of_a_job(aws: Aws) -> JobDeliveries:
    jobs = JobTable(aws.signed("dynamodb"), aws.table("JobsTable"), retention_days=7)
    jobs.accept(job("j1"))
    return JobDeliveries(aws.signed("dynamodb"), jobs.name)


def _slots(slots: Any, aws: Aws | None) -> Any:
    """Who gets the slots that are left: the state cannot be read otherwise."""
    names = ("crm", "other") * 3
    return [outcome(lambda name=name: slots.take(name, NOW).endpoint) for name in names]  # type: ignore[misc]


def _hold(slots: Any) -> None:
    slots.held = slots.take("other", NOW)


def _with_key(keys: Any) -> None:
    keys.add(Key(id="a", name="shop", digest="d", created=NOW, models=("m",), rate=5))


DELIVERED = Delivery("delivered", 1, "204", started=NOW, delivered=NOW)
_DELIVERIES: dict[str, Any] = {
    "ports": (Deliveries,),
    "memory": MemoryDeliveries,
    "calls": {
        "get": lambda p: p.get("j1", "webhook"),
        "put": lambda p: p.put("j1", "webhook", DELIVERED),
    },
    "before": lambda p: p.put("j1", "webhook", Delivery("waiting", 1, "500", started=NOW)),
    "state": lambda p, aws: p.get("j1", "webhook"),
}

JOB_PAIRS = {
    "jobs": Pair(
        ports=(JobStore,),
        memory=MemoryJobs,
        adapter=lambda aws: JobTable(
            aws.signed("dynamodb"), aws.table("JobsTable"), retention_days=7
        ),
        calls={
            "earlier": lambda p: p.earlier("ann", KEY, NOW),
            "accept": lambda p: p.accept(job("new"), NEW_KEY),
            "lease": lambda p: p.lease("j1", "w2", NOW, 60),
            "release": lambda p: p.release("l1", LEASE, NOW + 1),
            "settle": lambda p: p.settle("l1", LEASE, DONE, NOW + 1),
            "read_many": lambda p: p.read_many(["j1", "l1"]),
            "lease_many": lambda p: p.lease_many([job("j1")], "w2", NOW, 60),
            "settle_many": lambda p: p.settle_many([(LEASED, DONE)], NOW + 1),
            "get": lambda p: p.get("j1"),
            "page": lambda p: sorted(found.id for found in p.page("ann").jobs),
            "cancel": lambda p: p.cancel("j1", "ann", NOW + 1),
            "outbox": _events,
            "sent": lambda p: p.sent(ACCEPTED[0]),
            "sent_many": lambda p: p.sent_many(ACCEPTED),
            "overdue": lambda p: sorted(p.overdue(LATE)),
            "expire": lambda p: p.expire("j1", LATE),
        },
        before=_jobs,
        state=_stored_jobs,
        # what is missing from their results is asked for alone
        quiet={"lease_many": {}, "settle_many": {}},
        again=frozenset({"release", "lease_many", "settle_many", "cancel", "expire"}),
    ),
    "blobs": Pair(
        ports=(Blobs,),
        memory=MemoryBlobs,
        adapter=lambda aws: PayloadBucket(aws.signed("s3"), aws.bucket()),
        calls={
            "put": lambda p: p.put("new", b"12", "text/csv").removeprefix(f"s3://{p.bucket}/"),
            "get": lambda p: p.get(f"s3://{p.bucket}/old", 9),
            "describe": lambda p: p.describe(f"s3://{p.bucket}/old"),
        },
        before=lambda p: p.put("old", b"1", "text/plain"),
        state=lambda p, aws: outcome(lambda: p.get(f"s3://{p.bucket}/new", 9)),
    ),
    "events": Pair(
        ports=(EventQueue,),
        memory=MemoryEventQueue,
        adapter=lambda aws: JobEventQueue(aws.signed("sqs"), aws.queue),
        calls={
            "send": lambda p: p.send(ACCEPTED[0]),
            "send_many": lambda p: p.send_many(ACCEPTED),
        },
        state=_events_sent,
        quiet={"send_many": []},
    ),
    "visibility": Pair(
        ports=(Visibility,),
        memory=MemoryVisibility,
        adapter=lambda aws: QueueVisibility(aws.signed("sqs"), aws.queue),
        calls={"delay": lambda p: p.delay({"of-nobody": 5})},
        state=lambda p, aws: None,
        quiet={"delay": None},
    ),
    "dead letters": Pair(
        ports=(DeadLetters, DeadLetterBox),
        memory=MemoryDeadLetters,
        adapter=lambda aws: DeadLetterQueue(aws.signed("sqs"), aws.queue),
        calls={"look": lambda p: p.look(10), "put": lambda p: p.put("two")},
        before=lambda p: p.put("one"),
        state=lambda p, aws: {*p.look(10)},
    ),
    "endpoints": Pair(
        ports=(Endpoints,),
        memory=MemoryEndpoints,
        adapter=lambda aws: EndpointTable(
            aws.signed("dynamodb"),
            aws.table("EndpointsTable"),
            aws.table("EndpointSecretsTable"),
        ),
        calls={
            "get": lambda p: p.get("crm"),
            "put": lambda p: p.put(_endpoint("new"), None),
            "disable": lambda p: p.disable("crm", "gone"),
        },
        before=lambda p: p.put(_endpoint("crm"), None),
        state=lambda p, aws: [outcome(lambda: p.get("crm")), outcome(lambda: p.get("new"))],
        once=frozenset({"put", "disable"}),
    ),
    "deliveries of jobs": Pair(**_DELIVERIES, adapter=_delivery_of_a_job),
    "deliveries of others": Pair(
        **_DELIVERIES,
        adapter=lambda aws: EventDeliveries(aws.signed("dynamodb"), aws.table("StreamTable")),
    ),
    "slots": Pair(
        ports=(Slots,),
        memory=lambda: MemorySlots(3),
        adapter=lambda aws: EndpointSlots(aws.signed("dynamodb"), aws.table("StreamTable"), 3),
        calls={
            "take": lambda p: p.take("crm", NOW).endpoint,
            "free": lambda p: p.free(p.held),
        },
        before=_hold,
        state=_slots,
        quiet={"free": None},
    ),
    "callers' keys": Pair(
        ports=(Keys,),
        memory=MemoryKeys,
        adapter=lambda aws: KeyTable(aws.signed("dynamodb"), aws.table("KeysTable")),
        calls={"get": lambda p: [p.get("a"), p.get("b")]},
        before=_with_key,
        state=lambda p, aws: p.all(),
    ),
}
