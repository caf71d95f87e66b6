"""Callbacks: retries for a day, one webhook-id, what stops them, and the record on the job."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.aws import client, moto_server
from tests.kits.jobs import NOW, job, job_table, table_properties
from tests.kits.registries import RegistryServer

from quintet.aws.client import AwsClient
from quintet.aws.deliveries import JobDeliveries
from quintet.aws.slots import EndpointSlots
from quintet.aws.webhooks import HttpWebhooks
from quintet.errors import BadInput, Transient
from quintet.jobs.job import Job
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.store import JobEvent
from quintet.webhooks.channel import (
    Answer,
    Undelivered,
    WebhookChannel,
    retry_after_seconds,
)
from quintet.webhooks.delivery import (
    Attempt,
    Deliveries,
    Delivery,
    GivenUp,
    MemoryDeliveries,
    after,
)
from quintet.webhooks.endpoints import MemoryEndpoints, register, rotate
from quintet.webhooks.notifier import JobReader, Notifier
from quintet.webhooks.slots import SLOT_SECONDS, EndpointBusy, MemorySlots, Slots, slots_of
from quintet.webhooks.url_guard import Blocked
from quintet_cli.receiver import Received, Receiver, receiving

DAY = 86_400
DONE = job(state="DONE", endpoint="crm", updated=NOW + 1)
MESSAGE = JobEvent("j1", "completed").message()


# ---- the schedule, pure --------------------------------------------------------------------------


def test_waits_grow_from_seconds_to_hours_and_end_after_a_day() -> None:
    for jitter, waits in (
        (0.0, [5, 30, 180, 1_080, 6_480, 21_600, 21_600, 21_600, 13_825]),
        (0.999, [3, 15, 90, 541, 3_243] + [10_811] * 7 + [6_833]),
    ):
        delivery, now, slept = Delivery(), NOW, []
        while True:
            delivery = after(delivery, Attempt("waiting", "500"), now, jitter)
            if delivery.state != "waiting":
                break
            slept.append(round(delivery.next - now))
            now = delivery.next
        assert slept == waits
        assert now == NOW + DAY
        assert delivery == Delivery("given_up", len(waits) + 1, "500", started=NOW)


def test_an_attempt_that_ends_it_leaves_nothing_to_wait_for() -> None:
    waiting = after(Delivery(), Attempt("waiting", "timed out"), NOW, 0.5)
    assert waiting == Delivery("waiting", 1, "timed out", started=NOW, next=NOW + 3.75)
    assert after(waiting, Attempt("delivered", "204"), NOW + 4, 0.5) == Delivery(
        "delivered", 2, "204", started=NOW, delivered=NOW + 4
    )
    assert after(waiting, Attempt("stopped", "410"), NOW + 4, 0.5) == Delivery(
        "stopped", 2, "410", started=NOW
    )


@pytest.mark.parametrize(
    ("wanted", "wait"),
    # at least what our own schedule says, with half off; at most six hours
    [(0.0, 2.5), (1.0, 2.5), (120.0, 120.0), (21_600.0, 21_600.0), (1e9, 21_600.0)],
)
def test_a_receiver_is_left_alone_for_as_long_as_it_wants(wanted: float, wait: float) -> None:
    delivery = after(Delivery(), Attempt("waiting", "503", wanted), NOW, 1.0)
    assert delivery == Delivery("waiting", 1, "503", started=NOW, next=NOW + wait)


def test_a_receivers_wish_does_not_prolong_the_day() -> None:
    late = Delivery("waiting", 9, "503", started=NOW)
    delivery = after(late, Attempt("waiting", "429", 20_000.0), NOW + DAY - 60, 0.0)
    assert delivery.next == NOW + DAY
    assert after(delivery, Attempt("waiting", "429", 9.0), NOW + DAY, 0.0).state == "given_up"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("999999999", 999_999_999.0),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0),
        ("Friday, 15-Jan-27 08:02:00 GMT", 120.0),
        ("Fri Jan 15 08:02:00 2027", 120.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        *[(text, 0.0) for text in (None, "", "-5", "1.5", "1e9", "9" * 10, "soon", "٣")],
        *[
            (text, 0.0)
            for text in ("Fri, 99 Jan 2027 08:00:00 GMT", "1 Jan 99999 00:00:00", "x" * 999)
        ],
    ],
)
def test_a_retry_after_is_read_in_seconds_and_as_a_date(text: str | None, seconds: float) -> None:
    assert retry_after_seconds(text, NOW) == seconds


# ---- the record ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture(params=["memory", "dynamodb"])
def deliveries(request: pytest.FixtureRequest, url: str) -> Deliveries:
    if request.param == "memory":
        return MemoryDeliveries()
    table = job_table(url)
    table.accept(job())
    environ = RegistryServer(url, "none", "none").environ
    return JobDeliveries(AwsClient("dynamodb", environ=environ), table.name)


def test_a_delivery_is_recorded_by_channel(deliveries: Deliveries) -> None:
    assert deliveries.get("j1", "webhook") == Delivery()
    waiting = Delivery("waiting", 3, "timed out", started=NOW, next=NOW + 0.125)
    delivered = Delivery("delivered", 4, "204", started=NOW, delivered=NOW + 7)
    deliveries.put("j1", "webhook", waiting)
    deliveries.put("j1", "sns", delivered)
    assert deliveries.get("j1", "webhook") == waiting
    assert deliveries.get("j1", "sns") == delivered


def test_what_was_delivered_stays_so(deliveries: Deliveries) -> None:
    delivered = Delivery("delivered", 1, "204", started=NOW, delivered=NOW)
    deliveries.put("j1", "webhook", delivered)
    deliveries.put("j1", "webhook", Delivery("waiting", 2, "500", started=NOW, next=NOW + 5))
    assert deliveries.get("j1", "webhook") == delivered


def test_the_record_leaves_the_job_as_it_was_and_brings_none_back(url: str) -> None:
    table = job_table(url)
    table.accept(job())
    environ = RegistryServer(url, "none", "none").environ
    records = JobDeliveries(AwsClient("dynamodb", environ=environ), table.name)
    records.put("j1", "webhook", Delivery("stopped", 1, "410", started=NOW))
    assert table.get("j1") == job()
    records.put("j2", "webhook", Delivery("stopped", 1, "410", started=NOW))
    assert records.get("j2", "webhook") == Delivery()


# ---- a message, through to a receiver ------------------------------------------------------------


class World:
    """A job that is done, an endpoint, a receiver, and a clock that stands until it is moved."""

    def __init__(self, url: str, *found: Job) -> None:
        self.now = NOW + 10
        self.jobs = MemoryJobs(found or (DONE,))
        self.endpoints = MemoryEndpoints()
        self.deliveries = MemoryDeliveries()
        self.slots = MemorySlots(2)
        self.told: list[tuple[str, str, Delivery]] = []
        self.published: list[str] = []
        endpoint = register(
            "crm", url, scope="loopback", created="now", random=lambda count: b"s" * count
        )
        self.endpoints.put(endpoint, None)
        self.secret = endpoint.secrets[0].text

    def notify(self, message: str = MESSAGE, receives: int = 2) -> float | None:
        """Handle a message."""
        webhooks = HttpWebhooks("loopback", seconds=5)
        channel = WebhookChannel(self.endpoints, webhooks, self.slots)
        notifier = Notifier(
            JobReader(self.jobs.get, channel, self._publish),
            self.deliveries,
            clock=lambda: self.now,
            random=lambda: 0.0,
            report=lambda found, *how: self.told.append((found.subject, *how[:2])),
        )
        return notifier(message, receives)

    def _publish(self, job: Job, now: float) -> Attempt:
        self.published.append(job.id)
        return Attempt("delivered", "published")

    def delivery(self) -> Delivery:
        """What is recorded of the webhook."""
        return self.deliveries.get("j1", "webhook")


def test_a_callback_is_delivered_once_its_record_says_so() -> None:
    receiver = Receiver(answer=lambda received: 204)
    with receiving(receiver) as url:
        world = World(url)
        assert world.notify() is None
        assert world.notify() is None  # a duplicate of the message
    delivered = Delivery("delivered", 1, "204", started=NOW + 10, delivered=NOW + 10)
    assert world.delivery() == delivered
    assert world.told == [("j1", "webhook", delivered)]
    (received,) = receiver.received
    assert received.content["data"]["job"] == "j1"


def test_every_attempt_has_one_id_and_one_body_and_its_own_signature() -> None:
    statuses = iter([500, 302, 503, 200])
    receiver = Receiver(answer=lambda received: next(statuses))
    with receiving(receiver) as url:
        world = World(url)
        waits = []
        while (wait := world.notify()) is not None:
            waits.append(wait)
            assert world.notify() == wait  # early: nothing is sent
            world.now += wait
    assert waits == [5, 30, 180]
    assert {r.id for r in receiver.received} == {"job_j1"}
    assert len({r.body for r in receiver.received}) == 1
    assert len({r.headers["webhook-signature"] for r in receiver.received}) == 4
    assert world.delivery() == Delivery(
        "delivered", 4, "200", started=NOW + 10, delivered=NOW + 225
    )


def test_a_receiver_that_answers_500_for_ever_is_given_up_and_a_replay_begins_anew() -> None:
    receiver = Receiver(answer=lambda received: 500)
    with receiving(receiver) as url:
        world = World(url)
        with pytest.raises(GivenUp):
            while (wait := world.notify()) is not None:
                world.now += wait
        attempts = len(receiver.received)
        assert world.delivery() == Delivery("given_up", attempts, "500", started=NOW + 10)
        assert world.now == NOW + 10 + DAY
        with pytest.raises(GivenUp, match=f"given up after {attempts} attempts, the last: 500"):
            world.notify(receives=20)
        assert len(receiver.received) == attempts
        world.now += DAY
        assert world.notify(receives=1) == 5
        assert world.delivery().attempts == 1
    assert {r.id for r in receiver.received} == {"job_j1"}


def test_410_stops_and_disables_the_endpoint() -> None:
    receiver = Receiver(answer=lambda received: 410)
    with receiving(receiver) as url:
        world = World(url, DONE, replace(DONE, id="j2"))
        assert world.notify() is None
        assert world.delivery() == Delivery("stopped", 1, "410", started=NOW + 10)
        assert world.endpoints.get("crm").disabled == "it answered 410 Gone"
        assert world.notify(JobEvent("j2", "completed").message(), receives=1) is None
    assert len(receiver.received) == 1
    assert world.deliveries.get("j2", "webhook").last == "endpoint disabled"


def test_signatures_verify_with_the_library_through_a_rotation() -> None:
    receiver = Receiver()
    with receiving(receiver) as url:
        jobs = [replace(DONE, id=f"j{number}") for number in (1, 2)]
        world = World(url, *jobs)
        world.now = time.time()  # the library takes a signature of these minutes only
        receiver.secrets = [world.secret]
        assert world.notify() is None
        before = world.endpoints.get("crm")
        rotated = rotate(before, now=world.now, overlap=60, random=lambda count: b"n" * count)
        world.endpoints.put(rotated, before)
        assert world.notify(JobEvent("j2", "completed").message()) is None
    assert [received.verified for received in receiver.received] == [True, True]
    new = Receiver([rotated.secrets[0].text])
    assert [new.take(r.headers, r.body) for r in receiver.received] == [401, 204]
    (second,) = receiver.received[1:]
    for changed in (
        {**second.headers, "webhook-id": "job_j3"},
        {**second.headers, "webhook-timestamp": str(int(world.now) - 301)},
        {**second.headers, "webhook-signature": "v1,x"},
        {},
    ):
        assert new.take(changed, second.body) == 401
    assert new.take(second.headers, second.body.replace(b"DONE", b"done")) == 401


def test_channels_are_settled_apart() -> None:
    receiver = Receiver(answer=lambda received: 500)
    with receiving(receiver) as url:
        world = World(url, replace(DONE, notify_topic=True))
        assert world.notify() == 5
        world.now += 5
        assert world.notify() == 30
    assert world.published == ["j1"]


def test_an_endpoint_that_was_removed_stops_the_callback() -> None:
    world = World("http://127.0.0.1:9/")
    world.endpoints.stored.clear()
    assert world.notify() is None
    assert world.delivery() == Delivery("stopped", 1, "no such endpoint", started=NOW + 10)


class Failing:
    """Webhooks that fail in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "attempt"),
    [
        (Blocked("private"), Attempt("given_up", "address refused")),
        (BadInput.of("url", "https", "http"), Attempt("given_up", "address refused")),
        (Undelivered("timed out"), Attempt("waiting", "timed out")),
    ],
)
def test_a_refused_address_goes_to_the_dead_letters_and_no_answer_waits(
    error: Exception, attempt: Attempt
) -> None:
    world = World("http://127.0.0.1:9/")
    channel = WebhookChannel(world.endpoints, Failing(error), world.slots)
    assert channel.post("crm", "job_j1", b"{}", NOW) == attempt
    assert {world.slots.take("crm", NOW).number for _ in range(2)} == {0, 1}  # it was freed


@pytest.mark.parametrize(("status", "wait"), [(429, 60.0), (503, 60.0), (500, 5.0)])
def test_a_receiver_that_is_busy_says_when_to_come_back(status: int, wait: float) -> None:
    class Busy:
        def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
            return Answer(status, "60")

    world = World("http://127.0.0.1:9/")
    channel = WebhookChannel(world.endpoints, Busy(), world.slots)
    attempt = channel.post("crm", "job_j1", b"{}", NOW)
    assert attempt.state == "waiting"
    assert after(Delivery(), attempt, NOW, 0.0).next == NOW + wait


def test_a_job_that_wants_no_answer_and_one_that_is_gone_are_done_with() -> None:
    world = World("http://127.0.0.1:9/", job(state="DONE"))
    assert world.notify() is None
    assert world.notify(JobEvent("other", "completed").message()) is None
    assert world.told == []


@pytest.mark.parametrize(
    "message", ["", "[]", '{"job": "j1"}', '{"job": 1, "event": "completed"}', "\x00", "{" * 9_000]
)
def test_a_message_that_is_not_ours_is_refused(message: str) -> None:
    with pytest.raises(BadInput, match=r"^message: expected a job and an event"):
        World("http://127.0.0.1:9/").notify(message)


def test_a_message_of_the_work_queue_is_refused_and_an_open_job_is_not_told_of() -> None:
    with pytest.raises(BadInput, match=r"^event: expected the end of a job, got accepted$"):
        World("http://127.0.0.1:9/").notify(JobEvent("j1", "accepted").message())
    with pytest.raises(Transient, match=r"^the job is not settled$"):
        World("http://127.0.0.1:9/", job(endpoint="crm")).notify()


def test_a_lost_record_sends_again_under_the_same_id() -> None:
    class Losing(MemoryDeliveries):
        def put(self, job: str, channel: str, delivery: Delivery) -> None:
            raise Transient("the reply was lost")

    receiver = Receiver(answer=lambda received: 200)
    with receiving(receiver) as url:
        world = World(url)
        kept, world.deliveries = world.deliveries, Losing()
        with pytest.raises(Transient):
            world.notify()
        world.deliveries = kept
        assert world.notify() is None
    assert [received.id for received in receiver.received] == ["job_j1", "job_j1"]


def test_what_is_no_signature_is_not_verified() -> None:
    headers: dict[str, Any] = {"webhook-id": "a", "webhook-timestamp": "1"}
    for text in ("", "v1", "v1,", "v1,é", "v9,abc", " "):
        receiver = Receiver(["whsec_" + "c" * 44])
        receiver.take({**headers, "webhook-signature": text}, b"{}")
        assert receiver.received == [
            Received("a", False, {**headers, "webhook-signature": text}, b"{}")
        ]


# ---- endpoints that hang -------------------------------------------------------------------------


def test_a_busy_endpoint_costs_no_attempt_and_its_callbacks_wait() -> None:
    receiver = Receiver(answer=lambda received: 204)
    with receiving(receiver) as url:
        world = World(url)
        held = [world.slots.take("crm", world.now) for _ in range(2)]
        assert world.notify(receives=3) == 1
        assert (receiver.received, world.delivery()) == ([], Delivery())
        world.slots.free(held[0])
        world.now += 1
        assert world.notify(receives=4) is None
    assert world.delivery().state == "delivered"


def test_callbacks_to_an_endpoint_that_hangs_leave_executions_for_the_others() -> None:
    executions, hanging, going = 8, threading.Event(), threading.Semaphore(0)

    class Webhooks:
        """One endpoint hangs, the other answers."""

        def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
            if "hangs" in url:
                going.release()
                assert hanging.wait(30)
            return Answer(204)

    world = World("http://127.0.0.1:9/hangs")
    ready = register("ok", "http://127.0.0.1:9/", scope="loopback", created="", random=bytes)
    world.endpoints.put(ready, None)
    slots = MemorySlots(slots_of(executions))
    channel = WebhookChannel(world.endpoints, Webhooks(), slots)

    def post(name: str) -> str:
        try:
            return channel.post(name, "job_j1", b"{}", NOW).last
        except EndpointBusy:
            return "busy"

    with ThreadPoolExecutor(executions) as pool:
        held = [pool.submit(post, "crm") for _ in range(16)]
        for _ in range(slots_of(executions)):
            assert going.acquire(timeout=30)
        assert pool.submit(post, "ok").result(timeout=30) == "204"
        hanging.set()
        answers = Counter(one.result(timeout=30) for one in held)
    assert answers["busy"] >= 16 - executions and answers["204"] >= 2


@pytest.mark.parametrize(("executions", "slots"), [(2, 1), (4, 1), (10, 2), (1000, 250)])
def test_an_endpoint_has_a_quarter_of_the_executions(executions: int, slots: int) -> None:
    assert slots_of(executions) == slots


@pytest.mark.parametrize("kind", ["memory", "dynamodb"])
def test_slots_are_taken_freed_and_expire(kind: str, url: str) -> None:
    slots: Slots = MemorySlots(2)
    if kind == "dynamodb":
        environ = RegistryServer(url, "none", "none").environ
        client("dynamodb", url).create_table(TableName="slots", **table_properties("StreamTable"))
        slots = EndpointSlots(AwsClient("dynamodb", environ=environ), "slots", 2)
    first, second = slots.take("crm", NOW), slots.take("crm", NOW)
    assert {first.number, second.number} == {0, 1}
    with pytest.raises(EndpointBusy):
        slots.take("crm", NOW)
    assert slots.take("other", NOW).endpoint == "other"
    slots.free(first)
    assert slots.take("crm", NOW).number == first.number
    slots.free(first)  # it is another's by now
    with pytest.raises(EndpointBusy):
        slots.take("crm", NOW)
    assert slots.take("crm", NOW + SLOT_SECONDS).holder not in (first.holder, second.holder)
