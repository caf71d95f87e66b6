"""The parts of the world of jobs: requests, the model, who is told, the stores' own memory."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tests.kits.models import LOG, log_graph
from tests.simulation.kernel import Simulation, transient
from tests.simulation.queues import Queue

from quintet.contract import Capture
from quintet.jobs.job import Job
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.store import JobEvent
from quintet.onnx_model import OnnxModel
from quintet.webhooks.channel import Answer, Undelivered
from quintet.webhooks.delivery import Attempt

__all__ = [
    "POISON",
    "AnyEndpoint",
    "Asked",
    "Events",
    "Fatal",
    "Letters",
    "Receiver",
    "Topic",
    "Watched",
    "slot_refused",
    "undelivered",
]

#: the row that kills whoever scores it
POISON = 666.0
CONTRACT = replace(LOG, capture=Capture(rate=1))


@cache
def _model() -> OnnxModel:
    return OnnxModel(CONTRACT, log_graph(), digest="d")


class Fatal:
    """The model, which kills its process at a poisoned row."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.contract, self.digest, self.due = CONTRACT, "d", None

    def run(self, outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
        """See `quintet.scoring.Model.run`."""
        if (feeds["XY"] == POISON).any():
            self.simulation.kill()
        return _model().run(outputs, feeds)

    def load(self, model: str, version: int, seal: str | None = None) -> Any:
        """See `quintet.serving.model_cache.Loader.load`."""
        return self


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its values, and what is done beside submitting it."""

    values: tuple[float, ...]
    #: when it is submitted: several times under one key, once without a key
    at: tuple[float, ...]
    key: str
    ttl: float
    sagemaker: bool
    endpoint: bool
    large: bool
    cancelled: float | None

    @property
    def body(self) -> bytes:
        """Its body, in the records form."""
        raw = json.dumps({"records": [{"x": value} for value in self.values]}).encode()
        return raw + b" " * (5000 if self.large else 0)


class Watched(MemoryJobs):
    """Jobs that remember every end that was written."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: defaultdict[str, list[Job]] = defaultdict(list)

    def _write(self, job: Job) -> tuple[Job, JobEvent]:
        if job.settled:
            self.ends[job.id].append(job)
        return super()._write(job)


def slot_refused(site: str) -> None:
    """The refusal of a call for a slot: one is freed at best effort."""
    if not site.endswith(".free"):
        transient(site)


class Receiver:
    """Who gets callbacks: answers badly for a while, and remembers what came."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.came: defaultdict[str, list[bytes]] = defaultdict(list)

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """See `quintet.webhooks.channel.Webhooks.post`."""
        self.came[headers["webhook-id"]].append(body)
        simulation = self.simulation
        if simulation.now >= simulation.faults.calm or not simulation.faults.rate:
            return Answer(204)
        drawn = simulation.faults.uniform("receiver")
        if drawn < 0.05:
            return Answer(503, "120")
        return Answer(500) if drawn < 0.2 else Answer(204)


def undelivered(site: str) -> None:
    """The refusal of a receiver."""
    raise Undelivered("timed out")


class Topic:
    """The topic of SageMaker's jobs."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def publish(self, job: Job, now: float) -> Attempt:
        """See `quintet.webhooks.notifier.JobReader`."""
        self.told[job.id] += 1
        return Attempt("delivered", "published")


class Events:
    """A queue of the simulation as the port that events are sent to."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def send(self, event: JobEvent, delay: int = 0) -> None:
        """See `quintet.jobs.messages.EventQueue.send`."""
        self.queue.send(event.message(), delay)

    def send_many(self, events: Sequence[JobEvent]) -> list[JobEvent]:
        """See `quintet.jobs.messages.EventQueue.send_many`."""
        for event in events:
            self.send(event)
        return list(events)


class Letters:
    """The dead letters of a queue, as a port."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def put(self, body: str) -> None:
        """See `quintet.jobs.messages.DeadLetterBox.put`."""
        self.queue.dead.append(body)

    def look(self, most: int) -> list[str]:
        """See `quintet.jobs.sweep.DeadLetters.look`."""
        return self.queue.dead[:most]


class AnyEndpoint:
    """Every endpoint may be named."""

    def check(self, endpoint: str, caller: str) -> None:
        """See `quintet.jobs.submit.CallbackEndpoints.check`."""
