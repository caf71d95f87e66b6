"""Jobs: submitted, worked, cancelled, expired, swept, and told to their callers."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from tests.simulation.faults import DELAYS, LOCAL_KINDS
from tests.simulation.kernel import Simulation, Task, silent
from tests.simulation.lambdas import Function, Quiet, environment, handler, template
from tests.simulation.queues import Queue, QueueSource
from tests.simulation.scenario import START, Scenario
from tests.simulation.scenarios.job_checks import held
from tests.simulation.scenarios.job_parts import (
    POISON,
    AnyEndpoint,
    Asked,
    Events,
    Fatal,
    Letters,
    Receiver,
    Topic,
    Watched,
    slot_refused,
    undelivered,
)

from quintet.api.jobs import JobsApi
from quintet.errors import QuintetError, Transient
from quintet.features import MemoryFeatures
from quintet.jobs.captures import JobCaptures
from quintet.jobs.job import Job, LostLease, Settled
from quintet.jobs.memory import MemoryBlobs
from quintet.jobs.messages import OutboxPublisher
from quintet.jobs.store import JobEvent
from quintet.jobs.submit import JobOptions, Submitter
from quintet.jobs.sweep import DeadLetterReconciler, sweep
from quintet.jobs.transitions import JobTransitions
from quintet.jobs.worker import Worker
from quintet.protocols.http import Request
from quintet.protocols.registry import RECORDS
from quintet.serving import Online, PredictionCache, RequestContext
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet.webhooks.channel import WebhookChannel
from quintet.webhooks.delivery import Attempt, MemoryDeliveries
from quintet.webhooks.endpoints import MemoryEndpoints, register
from quintet.webhooks.notifier import JobReader, Notifier
from quintet.webhooks.slots import MemorySlots, slots_of
from quintet_local.sources import sqs

__all__ = ["Jobs"]

LEASE_GRACE_SECONDS = 30
#: jobs of a wave, and for how many seconds Lambda gathers their messages
WAVE, GATHERING = 4, 3.0


class Jobs(Scenario):
    """See the module."""

    NAME = "jobs"
    HOURS = 1.0
    REACH = (
        "a zombie's settling refused by its fence",
        "a lease lost between the result and the settling",
        "a job taken over from a worker that was killed",
        "a job settled again by its worker after a lost reply",
        "a job that broke off too often failed",
        "a job whose message is a dead letter failed",
        "a job held by another worker",
        "a message of a settled job acknowledged",
        "an event published by the sweep",
        "a key that gave its earlier job",
        "a job cancelled while it was worked",
        "a job expired",
        "a job released and worked again",
        "a callback sent twice under one id",
        "a callback repeated after an error of its receiver",
        "a group whose jobs were settled one by one",
    )
    # or all are of about a lease, so that who wakes meets who took over
    DELAYS: ClassVar[tuple[tuple[float, float], ...]] = (DELAYS, (60.0, 500.0))
    RARE: ClassVar[dict[str, float]] = {
        "letters.put": 12.0,
        "jobs.expire": 20.0,
        "jobs.cancel": 14.0,
        "jobs.sent": 2.0,
        "jobs.release": 12.0,
        "jobs.settle": 3.0,
        "jobs.lease_many": 8.0,
        "jobs.settle_many": 14.0,
        "jobs.read_many": 4.0,
        "jobs.accept": 2.0,
        "jobs.earlier": 1.5,
        "blobs.get": 6.0,
        "blobs.put": 3.0,
        "deliveries.put": 1.5,
        "endpoint-ids.check": 2.0,
        "notify.send": 4.0,
        "receiver.post": 2.0,
        "slots.free": 1.5,
        "slots.take": 1.5,
        "topic.publish": 4.0,
        "work.send": 2.0,
    }

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        super().__init__(simulation, keep)
        chance = self.chance
        self.spread = chance.choice((1.0, 1.0, 1.0, 60.0, 600.0))
        #: jobs come in waves, each of which is worked as a group
        self.waves = chance.random() < 0.6
        self.asked = [
            self._draw(number) for number in range(20 if self.waves else chance.choice((3, 8, 20)))
        ]
        self.zombies = chance.random() < 0.5
        self.batch = 100 if self.waves else chance.choice((1, 5, 100, 100))
        visibility = template().of_type("AWS::SQS::Queue")
        most = chance.choice((1000, 1000, 3))
        self.queue = Queue(
            simulation, "work-queue", visibility["WorkQueue"]["VisibilityTimeout"], most
        )
        self.notices = Queue(
            simulation, "notify-queue", visibility["NotifyQueue"]["VisibilityTimeout"]
        )
        self.store, self.blobs = Watched(), MemoryBlobs()
        self.deliveries, self.endpoints = MemoryDeliveries(), MemoryEndpoints()
        self.endpoints.stored["crm"] = register(
            "crm", "https://crm.example/", scope="public", created="now", random=bytes
        )
        self.slots = MemorySlots(slots_of(8))
        self.receiver, self.topic = Receiver(simulation), Topic()
        self.lines: list[bytes] = []
        self.answers: defaultdict[int, set[str]] = defaultdict(set)
        self.refused: set[int] = set()
        self._ids: Counter[int] = Counter()
        self._wire()

    def _draw(self, number: int) -> Asked:
        chance, kind = self.chance, self.chance.random()
        values: tuple[float, ...] = tuple(
            float(chance.randint(1, 90)) for _ in range(chance.choice((1, 1, 3)))
        )
        if kind < 0.08:
            values = (0.0,)  # its logarithm is no answer: the job fails
        elif kind < 0.14 and not self.waves:  # it kills its group, each time
            values = (POISON,)
        key = f"key-{number}" if chance.random() < 0.5 else ""
        tries = chance.choice((1, 2, 3)) if key else 1
        first, leaves = chance.uniform(0, self.spread), chance.uniform(0, 900)
        if self.waves:  # and is cancelled, if it is, while its group is worked
            first, leaves = 600.0 * (number // WAVE), GATHERING + chance.uniform(0, 0.1)
        waits = [chance.uniform(0, 400) * (tries > 1) for _ in range(tries)]
        if self.waves:
            waits[0] = 0.0
        return Asked(
            values=values,
            at=tuple(first + wait for wait in waits),
            key=key,
            ttl=chance.choice((300.0, 3000.0, 21_600.0, 21_600.0)),
            sagemaker=chance.random() < 0.3,
            endpoint=chance.random() < 0.7,
            large=chance.random() < 0.2,
            cancelled=leaves if chance.random() < (0.3 if self.waves else 0.15) else None,
        )

    @property
    def inputs(self) -> int:
        """See `Scenario.inputs`."""
        return len(self.asked)

    # ---- the world -----------------------------------------------------------------------------

    def _wire(self) -> None:
        simulation, functions = self.simulation, template().of_type("AWS::Lambda::Function")
        jobs, blobs = self.port("jobs", self.store), self.port("blobs", self.blobs)
        self.publisher = OutboxPublisher(
            jobs,
            work=self.port("work", Events(self.queue)),
            notify=self.port("notify", Events(self.notices)),
        )
        self.letters = self.port("letters", Letters(self.queue))
        self.visibility = self.port("visibility", self.queue, refuse=silent)
        self.log = self.port("log", self.lines, kinds=LOCAL_KINDS)
        timeout = functions["Work"]["Timeout"]
        self.lease_seconds = timeout + LEASE_GRACE_SECONDS
        work = handler(
            "work",
            worker=environment(simulation, "worker", lambda: self._worker(jobs, blobs)),
            telemetry=Quiet,
            trace=lambda results, started: self._worked(results),
        )
        reconciler = DeadLetterReconciler(
            letters=self.letters,
            get=jobs.get,
            leases=jobs,
            blobs=blobs,
            publisher=self.publisher,
            clock=simulation.clock,
            quiet_seconds=self.queue.visibility,
        )

        def swept(has_time: Any) -> Any:
            dead = reconciler.fail_dead_jobs
            return sweep(jobs, self.publisher, dead, simulation.clock(), has_time)

        self.sweep = Function(
            simulation,
            "Sweep",
            handler("sweep", sweeper=lambda: swept, telemetry=Quiet),
            functions["Sweep"]["Timeout"],
        )
        notifier = environment(simulation, "notifier", lambda: self._notifier(jobs))
        notify = handler(
            "notify",
            notify=lambda body, receives: notifier()(body, receives),  # noqa: PLW0108
            bury=self.port("notify-letters", Letters(self.notices)).put,
            postpone=self._postpone,
        )
        mappings = template().of_type("AWS::Lambda::EventSourceMapping")
        gathers = GATHERING if self.waves else self.chance.choice((0.0, 3.0, 3.0, 3.0))
        worked = sqs.Config.of(mappings["WorkAccepted"])
        worked = replace(worked, batch_size=self.batch, window=gathers)
        self.work = Function(simulation, "Work", work, timeout, self.zombies)
        self.notify = Function(
            simulation, "Notify", notify, functions["Notify"]["Timeout"], self.zombies
        )
        QueueSource(simulation, self.queue, self.work, worked)
        QueueSource(simulation, self.notices, self.notify, sqs.Config.of(mappings["NotifySettled"]))

    def _models(self) -> ModelCache:
        route = Route("log", 1, 1, {1: Version(1, "d", "s", 1, "now")})
        model = Fatal(self.simulation)
        return ModelCache(MemoryRoutes([route]), model, memory=10**9, clock=self.simulation.clock)

    def _worker(self, jobs: Any, blobs: Any) -> Worker:
        transitions = JobTransitions(
            leases=jobs,
            batches=jobs,
            blobs=blobs,
            publisher=self.publisher,
            letters=self.letters,
            clock=self.simulation.clock,
            lease_seconds=self.lease_seconds,
            threads=1,
        )
        return Worker(
            jobs=transitions,
            blobs=blobs,
            models=self._models(),
            features=MemoryFeatures(),
            visibility=self.visibility,
            clock=self.simulation.clock,
            captures=JobCaptures(self.log.extend, self.simulation.clock),
        )

    def _notifier(self, jobs: Any) -> Notifier:
        channel = WebhookChannel(
            self.port("endpoints", self.endpoints),
            self.port("receiver", self.receiver, refuse=undelivered),
            self.port("slots", self.slots, refuse=slot_refused),
        )
        topic = self.port("topic", self.topic)

        def publish(job: Job, now: float) -> Attempt:
            try:
                found: Attempt = topic.publish(job, now)
                return found
            except Transient as error:
                return Attempt("waiting", str(error))

        return Notifier(
            JobReader(jobs.get, channel, publish),
            self.port("deliveries", self.deliveries),
            clock=self.simulation.clock,
            random=lambda: self.faults.uniform("notifier"),
            report=lambda *_: None,
        )

    def _postpone(self, receipt: str, seconds: float) -> None:
        self.visibility.delay({receipt: min(math.ceil(seconds), 43_140)})

    # ---- what happens --------------------------------------------------------------------------

    def play(self) -> None:
        """See `Scenario.play`."""
        simulation = self.simulation
        for number, asked in enumerate(self.asked):
            if not self.kept(number):
                continue
            for after in asked.at:
                self._client(number, asked, after)
            if asked.cancelled is not None:
                self._canceller(number, asked.at[0] + asked.cancelled)
        simulation.at(START + 60, self._sweep)
        simulation.violations += self.until_quiet(600, 40 * 3600)

    def _sweep(self) -> None:
        over = self.quiet() and self.simulation.idle  # a client may wait to submit
        self.sweep.invoke({}, lambda answer: None)
        calm = self.simulation.now > self.faults.calm + 3600
        if not over or self.simulation.now < self.faults.calm:
            self.simulation.at(self.simulation.now + (600 if calm else 60), self._sweep)

    def _client(self, number: int, asked: Asked, after: float) -> None:
        simulation = self.simulation
        jobs = self.port("jobs", self.store)

        def run() -> None:
            online = Online(
                self._models(),
                lambda: {"log": [1]},
                MemoryFeatures(),
                PredictionCache(clock=simulation.clock),
                simulation.clock,
            )
            submitter = Submitter(
                store=jobs,
                blobs=self.port("blobs", self.blobs),
                endpoints=self.port("endpoint-ids", AnyEndpoint()),
                publish=self.publisher.publish,
                clock=simulation.clock,
                ids=lambda: self._id(number),
            )
            headers = {"content-type": "application/json"}
            headers |= {"idempotency-key": asked.key} if asked.key else {}
            headers |= {"x-quintet-callback": "crm"} if asked.endpoint else {}
            request = Request("POST", "", headers=headers, raw=asked.body, caller="ann")
            options = JobOptions(ttl=asked.ttl, inference_id="" if asked.sagemaker else None)
            for _ in range(6 if asked.key else 1):
                try:
                    job = submitter.submit(
                        online,
                        request,
                        RequestContext("r"),
                        RECORDS,
                        target=("log", None),
                        options=options,
                    )
                except Transient:
                    simulation.sleep(20.0)
                    continue
                self.answers[number].add(job.id)
                return

        simulation.spawn(run, f"client-{number}", after=after, skew=self._skew(number))

    def _skew(self, number: int) -> float:
        return (7 * number) % 60 - 30.0

    def _id(self, number: int) -> str:
        self._ids[number] += 1
        return f"j{number}-{self._ids[number]}"

    def _canceller(self, number: int, after: float) -> None:
        api = JobsApi(
            self.port("jobs", self.store), self.publisher.publish, str, self.simulation.clock
        )

        def run() -> None:
            for job in sorted(self.answers[number]):
                try:
                    api.cancel(Request("DELETE", "", parameters={"job": job}, caller="ann"))
                except QuintetError:
                    continue

        self.simulation.spawn(run, f"cancel-{number}", after=after)

    def quiet(self) -> bool:
        """See `Scenario.quiet`."""
        open_jobs = any(not job.settled for job in self.store.jobs.values())
        return not (open_jobs or self.store.pending or self.queue.messages or self.notices.messages)

    # ---- what is seen on the way ---------------------------------------------------------------

    def _worked(self, results: Sequence[Any]) -> None:
        for result in results:
            if result.event == "settled before":
                self.reach("a message of a settled job acknowledged")
            elif result.event == "held by another":
                self.reach("a job held by another worker")

    def observe(self, task: Task, site: str, given: tuple[Any, ...], found: Any) -> None:
        """See `Scenario.observe`."""
        if site == "blobs.put" and given[0].startswith("results/"):
            task.notes.add(given[0])
        elif site == "jobs.settle":
            self._settled(task, given, found)
        elif site == "jobs.lease" and isinstance(found, Job):
            if found.broken:
                self.reach("a job taken over from a worker that was killed")
            elif found.attempts > 1:
                self.reach("a job released and worked again")
        elif site == "jobs.earlier" and found is not None and not isinstance(found, Exception):
            self.reach("a key that gave its earlier job")
        elif site == "jobs.outbox" and not isinstance(found, Exception) and found:
            self.reach("an event published by the sweep")
        elif site == "jobs.cancel" and isinstance(found, tuple) and found[1] is not None:
            if found[0].lease is not None:
                self.reach("a job cancelled while it was worked")
        elif site == "receiver.post":
            self._posted(given)
        if site.startswith("jobs.") and isinstance(found, Settled) and found.job.state == "EXPIRED":
            self.reach("a job expired")
        if site == "jobs.settle_many" and isinstance(found, Mapping) and len(found) < len(given[0]):
            self.reach("a group whose jobs were settled one by one")

    def _settled(self, task: Task, given: tuple[Any, ...], found: Any) -> None:
        name, lease = given[0], given[1]
        job = self.store.jobs[name]
        if isinstance(found, LostLease):
            if job.attempts > lease.fence:
                self.reach("a zombie's settling refused by its fence")
            if any(name in note for note in task.notes):
                self.reach("a lease lost between the result and the settling")
            return
        if isinstance(found, JobEvent):
            if job.lease is None or job.lease.fence != lease.fence:
                self.simulation.violations.append(
                    f"fence: {name} was settled under fence {lease.fence} of {job.lease}"
                )
            if task.name.startswith("Sweep"):
                self.reach("a job whose message is a dead letter failed")
            elif job.problem is not None and job.poison:
                self.reach("a job that broke off too often failed")
            key = f"settled {name}"
            if key in task.notes:
                self.reach("a job settled again by its worker after a lost reply")
            task.notes.add(key)

    def _posted(self, given: tuple[Any, ...]) -> None:
        came = self.receiver.came[given[2]["webhook-id"]]
        if len(came) > 1:
            self.reach("a callback sent twice under one id")
        if self.deliveries.stored and len(came) > 1:
            self.reach("a callback repeated after an error of its receiver")

    def check(self) -> Iterator[str]:
        """See `Scenario.check`."""
        return held(self)
