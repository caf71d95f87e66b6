"""A worker in memory, with jobs for it, for the tests of the asynchronous path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tests.kits.models import NOW, Clock, online, shop_features

from quintet.features import FeatureSource
from quintet.jobs.captures import JobCaptures
from quintet.jobs.job import Content, Job
from quintet.jobs.memory import MemoryBlobs, MemoryJobs
from quintet.jobs.messages import (
    Delivery,
    MemoryEventQueue,
    MemoryVisibility,
    MessageResult,
    OutboxPublisher,
)
from quintet.jobs.sweep import DeadLetterReconciler, DeadLetters, MemoryDeadLetters
from quintet.jobs.transitions import JobTransitions
from quintet.jobs.worker import Worker
from quintet.serving.model_cache import ModelCache

LEASE_SECONDS = 90.0
QUIET_SECONDS = 360.0


def job(name: str, body: Any, **changes: Any) -> Job:
    """An accepted job of the kit's `log` model, in the records form unless told otherwise."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given: dict[str, Any] = {
        "owner": "ann",
        "model": "log",
        "version": 1,
        "form": "records",
        "request": Content("application/json", len(raw), raw),
        "created": NOW,
        "updated": NOW,
        "deadline": NOW + 3600,
        "endpoint": "crm",
    }
    return Job(id=name, **given | changes)


def logs(name: str, *values: float, **changes: Any) -> Job:
    """A job of the `log` model."""
    return job(name, {"records": [{"x": value} for value in values]}, **changes)


def message(name: str, receives: int = 1, number: int = 0) -> Delivery:
    """The message that a job was accepted."""
    body = json.dumps({"job": name, "event": "accepted"})
    return Delivery(f"m-{name}-{number}", f"r-{name}-{number}", body, receives)


@dataclass
class Bench:
    """A worker and everything around it."""

    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    notify: MemoryEventQueue = field(default_factory=MemoryEventQueue)
    queue: MemoryEventQueue = field(default_factory=MemoryEventQueue)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    visibility: MemoryVisibility = field(default_factory=MemoryVisibility)
    clock: Clock = field(default_factory=Clock)
    features: FeatureSource = field(default_factory=shop_features)
    lines: list[bytes] = field(default_factory=list)
    models: ModelCache = field(default_factory=lambda: online().models)

    def worker(self, **changes: Any) -> Worker:
        """A worker; `changes` replace its ports, and those of what it does to jobs."""
        ports: dict[str, Any] = {
            "leases": self.jobs,
            "batches": self.jobs,
            "blobs": self.blobs,
            "models": self.models,
            "features": self.features,
            "publisher": OutboxPublisher(self.jobs, work=self.queue, notify=self.notify),
            "letters": self.letters,
            "visibility": self.visibility,
            "clock": self.clock,
            "lease_seconds": LEASE_SECONDS,
            "threads": 1,
            "captures": JobCaptures(self.lines.extend),
        } | changes
        ports["jobs"] = JobTransitions(**{f.name: ports[f.name] for f in fields(JobTransitions)})
        return Worker(**{f.name: ports[f.name] for f in fields(Worker)})

    def reconciler(
        self, letters: DeadLetters | None = None, **changes: Any
    ) -> DeadLetterReconciler:
        """What fails the jobs of dead letters; `changes` replace its parts."""
        parts: dict[str, Any] = {
            "letters": letters or MemoryDeadLetters(),
            "get": self.jobs.get,
            "leases": self.jobs,
            "blobs": self.blobs,
            "publisher": OutboxPublisher(self.jobs, work=self.queue, notify=self.notify),
            "clock": self.clock,
            "quiet_seconds": QUIET_SECONDS,
        }
        return DeadLetterReconciler(**parts | changes)

    def put(self, *jobs: Job) -> None:
        """Accept jobs; their messages are on their way."""
        for one in jobs:
            _, event = self.jobs.accept(one)
            assert event is not None
            self.jobs.sent(event)

    def work(
        self,
        *jobs: Job,
        receives: int = 1,
        has_time: Callable[[], bool] = lambda: True,
        **changes: Any,
    ) -> dict[str, MessageResult]:
        """Accept jobs and work on them; the result of each one's message."""
        self.put(*jobs)
        deliveries = [message(one.id, receives) for one in jobs]
        results = self.worker(**changes).work(deliveries, has_time)
        return {result.job: result for result in results}

    def states(self) -> Mapping[str, str]:
        """Every job's state."""
        return {name: one.state for name, one in self.jobs.jobs.items()}

    def result(self, name: str) -> Any:
        """A job's result, parsed."""
        content = self.jobs.jobs[name].result
        assert content is not None
        if content.place is None:
            return json.loads(content.body or b"")
        return json.loads(self.blobs.stored[content.place])

    def notified(self) -> list[tuple[str, str]]:
        """The events that were sent, as (job, event)."""
        found = [json.loads(text) for text in self.notify.messages]
        return [(event["job"], event["event"]) for event in found]
