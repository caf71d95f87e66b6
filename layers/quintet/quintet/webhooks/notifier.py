"""One message of the queue: a job is settled, and its caller wants to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quintet.errors import BadInput, NotFound, Transient
from quintet.jobs.job import Job
from quintet.jobs.store import JobEvent
from quintet.webhooks.delivery import Channel, Deliveries, Delivery
from quintet.webhooks.notices import channels as wanted
from quintet.webhooks.tries import come_back, tried

__all__ = ["Notifier"]


class Notifier:
    """Tells callers.

    `job` reads one, `random` gives numbers in [0, 1), `tell` is told of every attempt.
    """

    def __init__(
        self,
        job: Callable[[str], Job],
        deliveries: Deliveries,
        channels: Mapping[str, Channel],
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        tell: Callable[[Job, str, Delivery], None],
    ) -> None:
        self._job = job
        self._deliveries = deliveries
        self._channels = channels
        self._clock = clock
        self._random = random
        self._tell = tell

    def __call__(self, message: str, receives: int) -> float | None:
        """Try each channel that is due; in how many seconds to come back, None if all is settled.

        `receives` is how often the message came: one that comes for the first time begins anew
        what was given up, as it was replayed. Zero seconds is a message of something given up:
        it comes back until it is among the dead letters.

        Raises:
            BadInput: the message is not ours.
            Transient: a store failed; nothing is lost, some of it may be sent twice.
        """
        notice = JobEvent.read(message)
        try:
            job = self._job(notice.job)
        except NotFound:  # its time to live is over: there is nothing left to tell
            return None
        if notice.kind == "accepted":
            raise BadInput.of("event", "the end of a job", notice.kind)
        if not job.settled:
            raise Transient("the job is not settled")
        found = [self._channel(job, name, receives == 1) for name in wanted(job)]
        return come_back(found, self._clock())

    def _channel(self, job: Job, name: str, first: bool) -> Delivery:
        """What has become of one channel, after a try if it is due."""
        delivery, fresh = tried(
            self._deliveries,
            job.id,
            name,
            lambda now: self._channels[name](job, now),
            first=first,
            clock=self._clock,
            random=self._random,
        )
        if fresh:
            self._tell(job, name, delivery)
        return delivery
