"""Handles one message of the notify queue: tries each channel that is due."""

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

#: the longest wait for an endpoint that has as many callbacks as it may, in seconds
MAX_BUSY_WAIT = 60.0

#: tries to notify, now. Raises Transient where nothing was tried
Send = Callable[[float], Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a message asks for: the channels to try, and what the notification is about.

    `type` and `subject` identify it, `endpoint` is the one of the channel `webhook`, `at` is when
    the event happened (epoch seconds).
    """

    type: MessageType
    subject: str
    model: str
    endpoint: str | None
    at: float
    channels: Mapping[str, Send]


class JobReader:
    """Reads messages of jobs that ended. `job` gets one by its id, `publish` tries SNS."""

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
        """The notification of a message; None for a job that is past its time to live.

        Raises:
            BadInput: the message is not of the end of a job.
            Transient: the job could not be read, or it is not settled.
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
            return self._webhook.post(job.endpoint or "", webhook_id(job), webhook_body(job), now)

        sends: dict[str, Send] = {"webhook": webhook, "sns": lambda now: self._publish(job, now)}
        return Notification(
            type="job",
            subject=job.id,
            model=job.model,
            endpoint=job.endpoint,
            at=job.updated,
            channels={name: sends[name] for name in channels(job)},
        )


class EventReader:
    """Reads messages that hold their event: alerts, and ends of runs."""

    def __init__(self, webhook: WebhookChannel) -> None:
        self._webhook = webhook

    def __call__(self, message: str) -> Notification:
        """The notification of a message.

        Raises:
            BadInput: the message is not one of these.
        """
        event = webhook_event(message)

        def webhook(now: float) -> Attempt:
            return self._webhook.post(event.endpoint, event.webhook_id, event.body, now)

        return Notification(
            type=event.type,
            subject=event.subject,
            model=event.model,
            endpoint=event.endpoint,
            at=event.at,
            channels={"webhook": webhook},
        )


class Notifier:
    """Notifies of what `read` finds in messages.

    `random` gives numbers in [0, 1), `report` gets every attempt: the notification, the channel,
    the delivery after it, and its moment.
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
        """Try each channel that is due; in how many seconds to come back, None if all is settled.

        `receives` is how often the message came: one that comes for the first time begins anew
        what was given up, as it was replayed.

        Raises:
            BadInput: the message is not ours.
            GivenUp: a channel was given up, and none is waiting.
            Transient: a store failed; nothing is lost, some of it may be sent twice.
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
        """The delivery on one channel, after an attempt if one is due."""
        delivery = self._deliveries.get(notification.subject, channel)
        if delivery.state == "given_up" and receives == 1:
            delivery = Delivery()
        now = self._clock()
        # a duplicate of the message comes early: it waits as the other does
        if delivery.state != "waiting" or delivery.next > now:
            return delivery
        try:
            attempt = send(now)
        except EndpointBusy:  # no attempt; the more callbacks wait for it, the longer each waits
            wait = 1 + self._random() * min(MAX_BUSY_WAIT, 2 * receives)
            return replace(delivery, next=now + wait)
        delivery = after(delivery, attempt, self._clock(), self._random())
        self._deliveries.put(notification.subject, channel, delivery)
        self._report(notification, channel, delivery, now)
        return delivery
