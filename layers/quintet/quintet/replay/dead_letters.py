"""Dead-letter queues: their messages, and sending them back to the queue they came from."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from quintet.batch.drops import dropped
from quintet.errors import BadInput
from quintet.jobs.store import JobEvent
from quintet.replay.items import Pace, ReplayDepth, ReplayOutcome
from quintet.replay.jobs import NoJobs, ReplayJobs
from quintet.webhooks.events import webhook_event

__all__ = ["MARK", "DeadLetter", "DeadLetterSource", "MemoryMessages", "Message", "Messages"]

#: the message attribute that names the replay that sent a message; a replay also uses it to
#: recognize and leave messages that failed again while it runs
MARK = "quintet-replay"


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a dead-letter queue; `sent` is when it first came to its queue (epoch s).

    `handle` releases or deletes it.
    """

    id: str
    body: str
    attributes: Mapping[str, Any]
    sent: float
    handle: str


class MessageCount(NamedTuple):
    """Approximate counts of a queue's messages: those that wait, and those that readers hold."""

    waiting: int
    held: int


class Messages(Protocol):
    """The messages of one dead-letter queue; `source` is the queue they came from."""

    @property
    def source(self) -> str: ...

    def count(self) -> MessageCount: ...

    def receive(self) -> Sequence[Message]:
        """Receive and hold some messages that no reader holds; empty if none are left."""
        ...

    def release(self, messages: Sequence[Message]) -> None:
        """Stop holding messages; missing ones are ignored."""
        ...

    def send_back(self, message: Message, replay: str) -> str:
        """Send a message to `source`, then delete it here; return its new id."""
        ...


@dataclass
class MemoryMessages:
    """A dead-letter queue in memory; `returned` are the messages that were sent back."""

    source: str
    waiting: list[Message] = field(default_factory=list)
    held: dict[str, Message] = field(default_factory=dict)
    returned: list[Message] = field(default_factory=list)

    def put(self, body: str, attributes: Mapping[str, Any] | None = None, sent: float = 0) -> None:
        """Add a message."""
        name = str(uuid.uuid4())
        self.waiting.append(Message(name, body, attributes or {}, sent, f"handle-{name}"))

    def time_out(self) -> None:
        """End every hold, as a visibility timeout does."""
        self.release([*self.held.values()])

    def count(self) -> MessageCount:
        """See `Messages.count`."""
        return MessageCount(len(self.waiting), len(self.held))

    def receive(self) -> Sequence[Message]:
        """See `Messages.receive`."""
        found, self.waiting = self.waiting[:10], self.waiting[10:]
        self.held |= {message.handle: message for message in found}
        return found

    def release(self, messages: Sequence[Message]) -> None:
        """See `Messages.release`."""
        held = [message for message in messages if message.handle in self.held]
        self.waiting += [self.held.pop(message.handle) for message in held]

    def send_back(self, message: Message, replay: str) -> str:
        """See `Messages.send_back`."""
        attributes = {**message.attributes, MARK: {"StringValue": replay}}
        sent = replace(message, id=str(uuid.uuid4()), attributes=attributes)
        self.returned.append(sent)
        del self.held[message.handle]
        return sent.id


@dataclass(frozen=True)
class DeadLetter:
    """A message with the known facts about its subject; see `ReplayItem`."""

    message: Message
    jobs: ReplayJobs = field(default_factory=NoJobs)

    @cached_property
    def event(self) -> JobEvent | None:
        """The job event in its body; None for any other message."""
        try:
            return JobEvent.read(self.message.body)
        except BadInput:
            return None

    @property
    def job(self) -> str | None:
        """The id of its job; None if it has no job."""
        return self.event.job if self.event else None

    @cached_property
    def model(self) -> str | None:
        """The model of its job, alert, run or dropped file."""
        body = self.message.body
        if self.job is not None:
            known = self.jobs.find(self.job)
            return known.model if known else None
        with suppress(BadInput):
            return webhook_event(body).model
        try:
            files = dropped(body)
        except BadInput:
            return None
        return files[0].key.partition("/")[0] if files else None

    @property
    def replay(self) -> str | None:
        """The replay that sent it, or None."""
        mark: str | None = (self.message.attributes.get(MARK) or {}).get("StringValue")
        return mark

    def fits(self, wanted: str) -> bool:
        """Whether it fits `job=ID`, `model=NAME`, or a text in its body."""
        name, _, value = wanted.partition("=")
        if name == "job":
            return self.job == value
        if name == "model":
            return self.model == value
        return wanted in self.message.body

    def stays(self, again: bool) -> bool:
        """Always False: a message that was replayed before is here because it failed again."""
        return False

    def lines(self) -> Sequence[str]:
        """When it came to its queue, the state of its job, and its body."""
        came = datetime.fromtimestamp(self.message.sent, UTC)
        line = f"{self.message.id}  {came:%Y-%m-%d %H:%M:%S}"
        if self.job is not None:
            known = self.jobs.find(self.job)
            line += f"  job {self.job}: "
            line += f"{known.state} {known.model} {known.error}".rstrip() if known else "unknown"
        if self.replay is not None:
            line += f"  (replayed before, by {self.replay})"
        return line, f"  {self.message.body}"

    def reopen(self) -> bool:
        """Reopen its job if the message is work; an undelivered result is only sent again."""
        event = self.event
        return event is not None and event.kind == "accepted" and self.jobs.reopen(event.job)


@dataclass(frozen=True)
class DeadLetterSource:
    """One dead-letter queue, under its name in the template; see `ReplaySource`."""

    name: str
    messages: Messages
    jobs: ReplayJobs = field(default_factory=NoJobs)
    noun: str = "messages"
    rate: float | None = 20

    @property
    def destination(self) -> str:
        """See `ReplaySource`."""
        return self.messages.source

    @property
    def about(self) -> str:
        """See `ReplaySource`."""
        return self.messages.source

    def depth(self) -> ReplayDepth:
        """See `ReplaySource.depth`."""
        waiting, held = self.messages.count()
        return ReplayDepth(waiting, f"{held:,} being read" if held else "")

    def items(self) -> Generator[DeadLetter, None, None]:
        """See `ReplaySource.items`."""
        held: list[Message] = []
        try:
            for letters in self._letters():
                held += [letter.message for letter in letters]
                yield from letters
        finally:
            self.messages.release(held)

    def send_back(
        self, wanted: Callable[[Any], bool], replay: str, pace: Pace
    ) -> Iterator[ReplayOutcome]:
        """See `ReplaySource.send_back`; one message at a time.

        A job is reopened before its message is sent: a worker that saw the job FAILED would only
        acknowledge the message. A replay that ends in between leaves the message here, and the
        next one sends it.
        """
        held: dict[str, Message] = {}
        try:
            for letters in self._letters():
                held |= {letter.message.id: letter.message for letter in letters}
                for letter in letters:
                    if letter.replay == replay or not wanted(letter):
                        yield ReplayOutcome(left=1)
                        continue
                    pace.wait()
                    reopened = letter.reopen()
                    record = {
                        "message": letter.message.id,
                        "sent_as": self.messages.send_back(letter.message, replay),
                        "job": letter.job,
                        "reopened": reopened,
                    }
                    del held[letter.message.id]
                    yield ReplayOutcome(sent=1, reopened=int(reopened), record=record)
        finally:
            self.messages.release([*held.values()])

    def _letters(self) -> Iterator[list[DeadLetter]]:
        """Every message once, a batch at a time; they are held."""
        seen: set[str] = set()
        while True:
            new = [m for m in self.messages.receive() if m.id not in seen]
            if not new:
                return
            seen.update(message.id for message in new)
            yield [DeadLetter(message, self.jobs) for message in new]
