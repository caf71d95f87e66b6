"""What becomes of a notice: each channel is tried for a day, and told apart from the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

from quintet.errors import BadInput, QuintetError
from quintet.jobs.job import Job
from quintet.webhooks.endpoints import Endpoint, Endpoints, UnknownEndpoint
from quintet.webhooks.notices import webhook_body, webhook_id
from quintet.webhooks.retry_after import seconds_of
from quintet.webhooks.signing import headers
from quintet.webhooks.url_guard import Blocked

__all__ = [
    "Answer",
    "Attempt",
    "Channel",
    "Deliveries",
    "Delivery",
    "MemoryDeliveries",
    "Undelivered",
    "WebhookChannel",
    "Webhooks",
    "after",
]

DAY = 86_400.0
#: the wait after the first attempt, what each later one multiplies it by, and the longest.
#: SQS holds a message back for at most 12 hours after it was received
FIRST_WAIT, GROWTH, LONGEST_WAIT = 5.0, 6.0, 6 * 3_600.0
#: too many requests, and out of service: what a Retry-After goes with
BUSY = (429, 503)

State = Literal["waiting", "delivered", "stopped", "given_up"]


class Undelivered(QuintetError):
    """A callback was not answered; the text says why in two words."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to; `last` is the HTTP status, or why there was none.

    `wait` is how many seconds the receiver wants to be left alone.
    """

    state: State
    last: str
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What has become of a job's notice, or an alert's, on one channel. Moments are epoch seconds.

    `stopped` is final: the endpoint is gone or disabled. `given_up` ends among the dead letters,
    and a replayed message begins anew.
    """

    state: State = "waiting"
    attempts: int = 0
    last: str = ""
    started: float = 0.0
    next: float = 0.0
    delivered: float | None = None


class Deliveries(Protocol):
    """Where deliveries are recorded, by the job or the alert that they are of."""

    def get(self, job: str, channel: str) -> Delivery:
        """What is recorded; a new one where nothing is.

        Raises:
            Transient: it could not be read.
        """

    def put(self, job: str, channel: str, delivery: Delivery) -> None:
        """Record a delivery; never over one that says `delivered`.

        Raises:
            Transient: it could not be written.
        """


class MemoryDeliveries:
    """Deliveries in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Delivery] = {}

    def get(self, job: str, channel: str) -> Delivery:
        """See `Deliveries.get`."""
        return self.stored.get((job, channel), Delivery())

    def put(self, job: str, channel: str, delivery: Delivery) -> None:
        """See `Deliveries.put`."""
        if self.get(job, channel).state != "delivered":
            self.stored[job, channel] = delivery


#: tries to tell of a job, now; raises Transient where nothing was tried
Channel = Callable[[Job, float], Attempt]


class Answer(NamedTuple):
    """What a receiver answered: the status, and its Retry-After."""

    status: int
    retry_after: str | None = None


class Webhooks(Protocol):
    """What posts callbacks."""

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post a callback.

        Raises:
            BadInput: the URL is not one that callbacks may go to.
            Blocked: its host resolves to an address that callbacks may not go to.
            Undelivered: no answer came.
        """


class WebhookChannel:
    """Posts to registered endpoints."""

    def __init__(self, endpoints: Endpoints, webhooks: Webhooks) -> None:
        self._endpoints = endpoints
        self._webhooks = webhooks

    def __call__(self, job: Job, now: float) -> Attempt:
        """Try once to tell of a job."""
        return self.post(job.endpoint or "", webhook_id(job), webhook_body(job), now)

    def post(self, name: str, webhook_id: str, body: bytes, now: float) -> Attempt:
        """Try once to post something to an endpoint, under an id that every attempt has."""
        try:
            endpoint = self._endpoints.get(name)
        except UnknownEndpoint:
            return Attempt("stopped", "no such endpoint")
        if endpoint.disabled:
            return Attempt("stopped", "endpoint disabled")
        attempt = self._post(endpoint, webhook_id, body, now)
        if attempt.last == "410":
            self._endpoints.disable(name, "it answered 410 Gone")
        return attempt

    def _post(self, endpoint: Endpoint, webhook_id: str, body: bytes, now: float) -> Attempt:
        signed = headers(webhook_id, body, endpoint.signing(now), now)
        try:
            status, retry_after = self._webhooks.post(endpoint.url, body, signed)
        except (Blocked, BadInput):
            # a wrong registration, not a bad moment: trying for a day would only hide it
            return Attempt("given_up", "address refused")
        except Undelivered as error:
            return Attempt("waiting", str(error))
        if 200 <= status < 300:
            return Attempt("delivered", str(status))
        if status in BUSY:
            return Attempt("waiting", str(status), seconds_of(retry_after, now))
        return Attempt("stopped" if status == 410 else "waiting", str(status))


def after(delivery: Delivery, attempt: Attempt, now: float, jitter: float) -> Delivery:
    """The delivery after an attempt; `jitter` in [0, 1) takes up to half off the wait.

    The wait is no shorter than the receiver wants. The last attempt is at the end of the day that
    began with the first.
    """
    tried = replace(
        delivery,
        state=attempt.state,
        attempts=delivery.attempts + 1,
        last=attempt.last,
        started=delivery.started if delivery.attempts else now,
    )
    if attempt.state == "delivered":
        return replace(tried, delivered=now, next=0.0)
    if attempt.state != "waiting":
        return replace(tried, next=0.0)
    end = tried.started + DAY
    if now >= end:
        return replace(tried, state="given_up", next=0.0)
    wait = min(FIRST_WAIT * GROWTH**delivery.attempts, LONGEST_WAIT) * (1 - jitter / 2)
    wanted = min(attempt.wait, LONGEST_WAIT)
    return replace(tried, next=min(now + max(wait, wanted), end))
