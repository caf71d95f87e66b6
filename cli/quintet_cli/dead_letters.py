"""The dead-letter queues of a stack: what lies there, and putting it back to where it came from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlsplit

from quintet.batch.drops import dropped
from quintet.errors import BadInput
from quintet.jobs.store import JobEvent
from quintet.streaming.alert import WebhookMessage, is_callout
from quintet.webhooks.runs import is_run_end, run_call
from quintet_cli.refused import Depth, Outcome, Pace, Thing
from quintet_cli.stage import Stage, StageError

__all__ = ["DeadLetters", "Jobs", "KnownJob", "Letter", "NoJobs", "dead_letters"]

#: the outputs of the stack that tell of its dead-letter queues
OUTPUT = "DeadLettersUrl"
#: how long a message that was read stays out of other readers' sight; it is released before
HOLD_SECONDS = 300
BATCH = 10
#: the message attribute that says by which replay a message was sent; also how a replay knows
#: messages that failed again while it runs, and lets them lie
MARK = "quintet-replay"


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What the table of jobs knows of a message's job."""

    model: str
    state: str
    error: str = ""


class Jobs(Protocol):
    """The jobs that messages are about."""

    def look(self, job: str) -> KnownJob | None:
        """What is known of a job; None for one that is not there (any more)."""
        ...

    def reopen(self, job: str) -> bool:
        """Put a job that its dead letter failed back to ACCEPTED; False for any other."""
        ...


class NoJobs:
    """A stack that has no jobs."""

    def look(self, job: str) -> KnownJob | None:
        """See `Jobs.look`."""
        return None

    def reopen(self, job: str) -> bool:
        """See `Jobs.reopen`."""
        return False


@dataclass(frozen=True)
class Letter:
    """One message of a dead-letter queue."""

    id: str
    body: str
    attributes: Mapping[str, Any]
    sent: float
    handle: str
    jobs: Jobs = field(default_factory=NoJobs)

    @classmethod
    def of(cls, message: Mapping[str, Any], jobs: Jobs) -> Letter:
        """A message as SQS gives it; `sent` is when it first came to its queue, in seconds."""
        return cls(
            message["MessageId"],
            message["Body"],
            message.get("MessageAttributes") or {},
            int(message["Attributes"]["SentTimestamp"]) / 1000,
            message["ReceiptHandle"],
            jobs,
        )

    @cached_property
    def job(self) -> str | None:
        """The job that it is about; None for a message about none."""
        return self.notice.job if self.notice else None

    @cached_property
    def notice(self) -> JobEvent | None:
        """The notice of a job that it is; None for any other message."""
        try:
            return JobEvent.read(self.body)
        except BadInput:
            return None

    @cached_property
    def model(self) -> str | None:
        """The model that it is about: its job's, alert's or run's, or a dropped file's."""
        if self.job is not None:
            known = self.jobs.look(self.job)
            return known.model if known else None
        try:
            if is_callout(self.body):
                return WebhookMessage.read(self.body).alert.model
            if is_run_end(self.body):
                return run_call(self.body).model
            files = dropped(self.body)
        except BadInput:
            return None
        return files[0].key.partition("/")[0] if files else None

    @property
    def replay(self) -> str | None:
        """The replay that sent it, where one did."""
        mark: str | None = (self.attributes.get(MARK) or {}).get("StringValue")
        return mark

    def fits(self, wanted: str) -> bool:
        """Whether it fits `job=ID`, `model=NAME`, or a text that its body holds."""
        name, _, value = wanted.partition("=")
        if name == "job":
            return self.job == value
        if name == "model":
            return self.model == value
        return wanted in self.body

    def stays(self, again: bool) -> bool:
        """Never: one that was replayed before lies here because it failed once more."""
        return False

    def lines(self) -> Sequence[str]:
        """When it came to its queue, what became of its job, and its body."""
        line = f"{self.id}  {datetime.fromtimestamp(self.sent, UTC):%Y-%m-%d %H:%M:%S}"
        if self.job is not None:
            known = self.jobs.look(self.job)
            line += f"  job {self.job}: "
            line += f"{known.state} {known.model} {known.error}".rstrip() if known else "unknown"
        if self.replay is not None:
            line += f"  (replayed before, by {self.replay})"
        return line, f"  {self.body}"

    def reopen(self) -> bool:
        """Reopen its job, where it is one's work; an answer not delivered is only told again."""
        notice = self.notice
        return notice is not None and notice.kind == "accepted" and self.jobs.reopen(notice.job)


@dataclass(frozen=True)
class DeadLetters:
    """One dead-letter queue, under its name in the template; see `Place`."""

    name: str
    url: str
    sqs: Any
    jobs: Jobs = field(default_factory=NoJobs)
    noun: str = "messages"
    rate: float | None = 20

    @cached_property
    def source_url(self) -> str:
        """The queue that its messages come from.

        Raises:
            StageError: it is not the dead-letter queue of exactly one queue.
        """
        found = self.sqs.list_dead_letter_source_queues(QueueUrl=self.url)["queueUrls"]
        if len(found) != 1:
            raise StageError(f"{self.name}: {len(found)} queues send their dead letters here")
        url: str = found[0]
        return url

    @property
    def source(self) -> str:
        """The name of the queue that its messages come from."""
        return urlsplit(self.source_url).path.rsplit("/", maxsplit=1)[-1]

    @property
    def about(self) -> str:
        """See `Place`."""
        return self.source

    def depth(self) -> Depth:
        """See `Place.depth`."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        got = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        lying, held = (int(got[name]) for name in names)
        return Depth(lying, f"{held:,} being read" if held else "")

    def letters(self) -> Iterator[list[Letter]]:
        """Every message, each once, some at a time; they are held for `HOLD_SECONDS`."""
        seen: set[str] = set()
        while True:
            # waiting asks every server of SQS: without it, an empty answer says little
            got = self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=HOLD_SECONDS,
                WaitTimeSeconds=1,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            messages = [m for m in got.get("Messages", []) if m["MessageId"] not in seen]
            new = [Letter.of(message, self.jobs) for message in messages]
            if not new:
                return
            seen.update(letter.id for letter in new)
            yield new

    def things(self) -> Generator[Letter, None, None]:
        """See `Place.things`."""
        held: list[Letter] = []
        try:
            for letters in self.letters():
                held += letters
                yield from letters
        finally:
            self.release(held)

    def release(self, letters: Sequence[Letter]) -> None:
        """Give back what is held, for others to see."""
        for start in range(0, len(letters), BATCH):
            entries = [
                {"Id": str(index), "ReceiptHandle": letter.handle, "VisibilityTimeout": 0}
                for index, letter in enumerate(letters[start : start + BATCH])
            ]
            self.sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def send_back(
        self, wanted: Callable[[Thing], bool], replay: str, pace: Pace
    ) -> Iterator[Outcome]:
        """See `Place.send_back`; one message at a time.

        A job is reopened before its message goes: a worker that met it FAILED would only
        acknowledge the message. A replay that ends in between leaves the message here, and the
        next one sends it.
        """
        held: dict[str, Letter] = {}
        try:
            for letters in self.letters():
                held |= {letter.id: letter for letter in letters}
                for letter in letters:
                    if letter.replay == replay or not wanted(letter):
                        yield Outcome(left=1)
                        continue
                    pace.wait()
                    reopened = letter.reopen()
                    record = {
                        "message": letter.id,
                        "sent_as": self._send(letter, replay),
                        "job": letter.job,
                        "reopened": reopened,
                    }
                    del held[letter.id]
                    yield Outcome(sent=1, reopened=int(reopened), record=record)
        finally:
            self.release([*held.values()])

    def _send(self, letter: Letter, mark: str) -> str:
        """Send a message to the queue it came from, and only then delete it here; the new id.

        Between the two it is in both queues: a second delivery, as SQS itself may make one.
        """
        attributes = {**letter.attributes, MARK: {"DataType": "String", "StringValue": mark}}
        sent = self.sqs.send_message(
            QueueUrl=self.source_url, MessageBody=letter.body, MessageAttributes=attributes
        )
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=letter.handle)
        new: str = sent["MessageId"]
        return new


def dead_letters(stage: Stage, jobs: Jobs) -> list[DeadLetters]:
    """The dead-letter queues of a stack, from its outputs."""
    sqs = stage.client("sqs")
    return [
        DeadLetters(name.removesuffix("Url"), url, sqs, jobs)
        for name, url in sorted(stage.outputs.items())
        if name.endswith(OUTPUT)
    ]
