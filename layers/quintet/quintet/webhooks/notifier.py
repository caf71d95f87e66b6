"""Handles one message of the notify queue: attempts each channel that is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from quintet.errors import BadInput, NotFound, Transient
from quintet.jobs.job import Job
from quintet.jobs.store import JobEvent
from quintet.webhooks.channel import WebhookChannel
from quintet.webhooks.delivery import Attempt, Deliveries, Delivery, after, return_in
from quintet.webhooks.events import MessageType, webhook_event
from quintet.webhooks.job_events import channels, webhook_body, webhook_id
from quintet.webhooks.slots import EndpointBusy

__all__ = ["EventReader", "JobReader", "Notification", "Notifier"]

#: the longest wait for a free slot of an endpoint, in seconds
MAX_BUSY_WAIT = 60.0

#: attempts to notify, given the current time. Raises Transient if no attempt was made
Send = Callable[[float], Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification and its channels.

    `type` and `subject` identify it, `endpoint` belongs to the channel `webhook`, `at` is when
    the event happened (epoch seconds). `traceparent` is the W3C context of what it is about.
    """

    type: MessageType
    subject: str
    model: str
    endpoint: str | None
    at: float
    channels: Mapping[str, Send]
    traceparent: str = ""


class JobReader:
    """Reads messages of jobs that ended. `job` reads a job by id, `publish` publishes to SNS."""

    def __init__(
        self,
        job: Callable[[str], Job],
        webhook: WebhookChannel,
        publish: Callable[[Job, float], Attempt],
    ) -> None:
        self._job = job
        self._webhook = webhook
        self._publish = publish

    def __call__(self, message: str) -> Notification | None:
        """The notification of a message; None if the job's time to live has passed.

        Raises:
            BadInput: the message is not about the end of a job.
            Transient: the job could not be read, or is not settled.
        """
        event = JobEvent.read(message)
        try:
            job = self._job(event.job)
        except NotFound:
            return None
        if event.kind == "accepted":
            raise BadInput.of("event", "the end of a job", event.kind)
        if not job.settled:
            raise Transient("the job is not settled")

        def webhook(now: float) -> Attempt:
            name, body = job.endpoint or "", webhook_body(job)
            return self._webhook.post(name, webhook_id(job), body, now, job.traceparent)

        sends: dict[str, Send] = {"webhook": webhook, "sns": lambda now: self._publish(job, now)}
        return Notification(
            type="job",
            subject=job.id,
            model=job.model,
            endpoint=job.endpoint,
            at=job.updated,
            channels={name: sends[name] for name in channels(job)},
            traceparent=job.traceparent,
        )


class EventReader:
    """Reads messages that contain their event: alerts and ends of runs."""

    def __init__(self, webhook: WebhookChannel) -> None:
        self._webhook = webhook

    def __call__(self, message: str) -> Notification:
        """The notification of a message.

        Raises:
            BadInput: the message is neither.
        """
        event = webhook_event(message)

        def webhook(now: float) -> Attempt:
            name, own = event.endpoint, event.webhook_id
            return self._webhook.post(name, own, event.body, now, event.traceparent)

        return Notification(
            type=event.type,
            subject=event.subject,
            model=event.model,
            endpoint=event.endpoint,
            at=event.at,
            channels={"webhook": webhook},
            traceparent=event.traceparent,
        )


class Notifier:
    """Delivers the notifications that `read` finds in messages.

    `random` returns numbers in [0, 1). `report` receives every attempt: the notification, the
    channel, the delivery after the attempt, and the attempt's time.
    """

    def __init__(
        self,
        read: Callable[[str], Notification | None],
        deliveries: Deliveries,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        report: Callable[[Notification, str, Delivery, float], None],
    ) -> None:
        self._read = read
        self._deliveries = deliveries
        self._clock = clock
        self._random = random
        self._report = report

    def __call__(self, message: str, receives: int) -> float | None:
        """Attempt each channel that is due; return the seconds until the retry, None if settled.

        `receives` counts the receives of the message. A first receive of a notification that was
        given up is a replay: its deliveries start again.

        Raises:
            BadInput: the message is invalid.
            GivenUp: a channel was given up, and no other is waiting.
            Transient: a store failed; no notification is lost, some may be sent twice.
        """
        notification = self._read(message)
        if notification is None:
            return None
        found = [
            self._deliver(notification, channel, send, receives)
            for channel, send in notification.channels.items()
        ]
        return return_in(found, self._clock())

    def _deliver(
        self, notification: Notification, channel: str, send: Send, receives: int
    ) -> Delivery:
        """Return the delivery on one channel, after an attempt if one is due."""
        delivery = self._deliveries.get(notification.subject, channel)
        if delivery.state == "given_up" and receives == 1:
            delivery = Delivery()
        now = self._clock()
        # a duplicate of the message may arrive early: it waits, too
        if delivery.state != "waiting" or delivery.next > now:
            return delivery
        try:
            attempt = send(now)
        except EndpointBusy:  # no attempt; wait longer with each receive
            wait = 1 + self._random() * min(MAX_BUSY_WAIT, 2 * receives)
            return replace(delivery, next=now + wait)
        delivery = after(delivery, attempt, self._clock(), self._random())
        self._deliveries.put(notification.subject, channel, delivery)
        self._report(notification, channel, delivery, now)
        return delivery
