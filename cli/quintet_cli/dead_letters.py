"""The dead-letter queues of a stack: what lies there, and putting it back to where it came from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlsplit

from quintet.batch.drops import dropped
from quintet.errors import BadInput
from quintet.jobs.store import Notice
from quintet_cli.stage import Stage, StageError

__all__ = [
    "DeadLetters",
    "Jobs",
    "KnownJob",
    "Letter",
    "NoJobs",
    "Replayed",
    "dead_letters",
    "matcher",
    "named",
    "replay",
]

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

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Letter:
        """A message as SQS gives it; `sent` is when it first came to its queue, in seconds."""
        return cls(
            message["MessageId"],
            message["Body"],
            message.get("MessageAttributes") or {},
            int(message["Attributes"]["SentTimestamp"]) / 1000,
            message["ReceiptHandle"],
        )

    @cached_property
    def job(self) -> str | None:
        """The job that it is about; None for a message about none."""
        return self.notice.job if self.notice else None

    @cached_property
    def notice(self) -> Notice | None:
        """The notice of a job that it is; None for any other message."""
        try:
            return Notice.read(self.body)
        except BadInput:
            return None

    def model(self, jobs: Jobs) -> str | None:
        """The model that it is about: its job's, or that of the folder a file was dropped in."""
        if self.job is not None:
            known = jobs.look(self.job)
            return known.model if known else None
        try:
            files = dropped(self.body)
        except BadInput:
            return None
        return files[0].key.partition("/")[0] if files else None

    @property
    def replay(self) -> str | None:
        """The replay that sent it, where one did."""
        mark: str | None = (self.attributes.get(MARK) or {}).get("StringValue")
        return mark


def matcher(filters: Sequence[str], jobs: Jobs) -> Callable[[Letter], bool]:
    """Whether a message fits every filter: `job=ID`, `model=NAME`, else text of its body."""

    def fits(letter: Letter, wanted: str) -> bool:
        name, _, value = wanted.partition("=")
        if name == "job":
            return letter.job == value
        if name == "model":
            return letter.model(jobs) == value
        return wanted in letter.body

    return lambda letter: all(fits(letter, wanted) for wanted in filters)


@dataclass(frozen=True)
class DeadLetters:
    """One dead-letter queue, under its name in the template."""

    name: str
    url: str
    sqs: Any

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

    def depth(self) -> tuple[int, int]:
        """About how many messages lie here, and how many are in a reader's hands."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        got = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(got[names[0]]), int(got[names[1]])

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
            new = [Letter.of(m) for m in got.get("Messages", []) if m["MessageId"] not in seen]
            if not new:
                return
            seen.update(letter.id for letter in new)
            yield new

    def peek(self) -> Generator[Letter, None, None]:
        """Every message, each once; what was read is released at the end."""
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

    def send_back(self, letter: Letter, mark: str) -> str:
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


def dead_letters(stage: Stage) -> list[DeadLetters]:
    """The dead-letter queues of a stack, from its outputs."""
    sqs = stage.client("sqs")
    return [
        DeadLetters(name.removesuffix("Url"), url, sqs)
        for name, url in sorted(stage.outputs.items())
        if name.endswith(OUTPUT)
    ]


def named(stage: Stage, name: str) -> DeadLetters:
    """The dead-letter queue of that name; `Work` and `work` mean `WorkDeadLetters`.

    Raises:
        StageError: there is none.
    """
    queues = dead_letters(stage)
    wanted = name.lower().removesuffix("deadletters")
    for queue in queues:
        if queue.name.lower().removesuffix("deadletters") == wanted:
            return queue
    known = ", ".join(queue.name for queue in queues) or "none"
    raise StageError(f"no dead-letter queue {name} in stage {stage.name}; there are: {known}")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one message: sent back under a new id, or (id None) passed over.

    `reopened` says that its job had failed by it, and was put back to ACCEPTED.
    """

    letter: Letter
    sent_as: str | None = None
    reopened: bool = False


def replay(
    queue: DeadLetters,
    jobs: Jobs,
    wanted: Callable[[Letter], bool],
    mark: str,
    pace: Callable[[], None],
) -> Iterator[Replayed]:
    """Send the wanted messages back, one `pace` at a time; the others stay.

    A job is reopened before its message goes: a worker that met it FAILED would only
    acknowledge the message. A replay that ends in between leaves the message here, and the next
    one sends it.
    """
    held: dict[str, Letter] = {}
    try:
        for letters in queue.letters():
            held |= {letter.id: letter for letter in letters}
            for letter in letters:
                if letter.replay == mark or not wanted(letter):
                    yield Replayed(letter)
                    continue
                pace()
                reopened = _reopened(letter.notice, jobs)
                sent_as = queue.send_back(letter, mark)
                del held[letter.id]
                yield Replayed(letter, sent_as, reopened)
    finally:
        queue.release([*held.values()])


def _reopened(notice: Notice | None, jobs: Jobs) -> bool:
    """Reopen a job whose work is replayed. An answer that was not delivered is only told again."""
    return notice is not None and notice.event == "accepted" and jobs.reopen(notice.job)
