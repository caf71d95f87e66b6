"""Batch runs: files dropped, planned, scored in units, reported, stopped, redriven, and read.

Each run lists items for its customers, too, who are recommended some of them online.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, ClassVar

from tests.kits.batch import BUCKET, csv_bytes, jsonl_bytes, row
from tests.simulation.kernel import Simulation, Task
from tests.simulation.lambdas import Function, handler, template
from tests.simulation.queues import Queue, QueueSource
from tests.simulation.scenario import START, Scenario
from tests.simulation.scenarios.batch_checks import held
from tests.simulation.scenarios.batch_parts import Machines, Reader
from tests.simulation.scenarios.nightly import (
    CATALOG,
    LISTED,
    NIGHTLY,
    UNIT_BYTES,
    Shoppers,
    nightly_model,
    user,
    visits,
)

from quintet.batch.candidates import MemoryCandidateSets, show_candidates
from quintet.batch.crashes import note_crash
from quintet.batch.executions import plan_redrive, redrive, stop
from quintet.batch.planning import plan_run
from quintet.batch.plans import Plan, RunPaths, plan_from, run_name
from quintet.batch.reports import report_run
from quintet.batch.stores import MemoryConditionalObjects, MemoryInputBucket, MemoryObjectStore
from quintet.batch.tables import current_run, show_run, shows_itself
from quintet.batch.units import UnitFailed, score_unit
from quintet.captures.store import MemoryCaptures
from quintet.errors import NotFound, QuintetError, Transient
from quintet.features import MemoryFeatures
from quintet_local.sources import sqs

__all__ = ["Batch"]


class Batch(Scenario):
    """See the module. An input is a file; each has a run of its own."""

    NAME = "batch"
    HOURS = 1.0
    REACH = (
        "a unit scored by two at once",
        "a unit found the result of an earlier attempt",
        "a crash noted for a unit",
        "a failed run was redriven",
        "a run was stopped while its units ran",
        "a pointer flip lost and retried",
        "a run that ended late left the pointer alone",
        "a report found that of an earlier attempt",
        "a notification that came twice started nothing",
        "a file was refused",
        "a unit wrote after its run was reported",
        "a reader read a run while another was written",
        "a recommendation by a run that another had replaced",
        "a recommendation while another run wrote its sets",
        "a recommendation fell back, as a store did not answer",
        "an answer was lost after its impression was kept",
    )
    RARE: ClassVar[dict[str, float]] = {
        "cells.swap": 4.0,
        "cells.read": 3.0,
        "executions.start": 3.0,
        "executions.stop": 25.0,
        "catalog.pin": 3.0,
        "inbox.snapshot": 4.0,
        "inbox.read": 2.0,
        "captures.put": 2.5,
        "sets.put": 2.5,
        "pointers.swap": 30.0,
        "pointers.read": 2.0,
        "reads.user": 3.0,
        "Drop.invoke": 3.0,
        "drop-queue.deliver": 4.0,
    }

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        super().__init__(simulation, keep)
        chance = self.chance
        self.zombies = chance.random() < 0.5
        self.inbox, self.store = MemoryInputBucket(), MemoryObjectStore()
        self.cells = MemoryConditionalObjects(self.store.objects)
        #: the sets of all runs, and the pointer to those that recommendations are of
        self.sets, self.shown = MemoryCandidateSets(), MemoryConditionalObjects()
        #: what a run lists for a user
        self.lists: defaultdict[str, dict[str, set[int]]] = defaultdict(dict)
        self.listed: list[dict[str, set[int]]] = []
        self.captures = MemoryCaptures()
        visibility = template().of_type("AWS::SQS::Queue")["DropQueue"]["VisibilityTimeout"]
        self.queue = Queue(simulation, "drop-queue", visibility)
        self.files = [self._draw(number) for number in range(chance.choice((1, 2, 3)))]
        self.moments = [chance.uniform(0, 600) for _ in self.files]
        self.stops = [
            chance.choice((0.05, 0.5, 2.0, 300.0)) * chance.random()
            if chance.random() < 0.6
            else None
            for _ in self.files
        ]
        self.runs: dict[int, RunPaths] = {}
        self.scoring: Counter[tuple[str, int]] = Counter()
        self.reported: set[str] = set()
        self._wire()
        self.readers = [Reader(self, name) for name in ("r1", "r2")]
        self.shoppers = Shoppers(self)

    def _draw(self, number: int) -> tuple[str, bytes]:
        """A file: its key, and some rows of which one in ten is refused."""
        chance, first = self.chance, 1000 * number
        rows = [
            row(
                first + n,
                customer=user(n),
                visits=-1 if chance.random() < 0.1 else visits(number, n),
            )
            for n in range(chance.choice((1, 20, 80)))
        ]
        self.listed.append(
            {
                one["customer"]: {one["visits"] + step for step in range(1, LISTED + 1)}
                for one in rows
                if one["visits"] >= 0
            }
        )
        if chance.random() < 0.1:
            return f"tiny/f{number}.csv", b"neither,nor\n1,2\n"
        if chance.random() < 0.5:
            return f"tiny/f{number}.csv", csv_bytes(rows)
        return f"tiny/f{number}.jsonl", jsonl_bytes(rows)

    @property
    def inputs(self) -> int:
        """See `Scenario.inputs`."""
        return len(self.files)

    # ---- the world -----------------------------------------------------------------------------

    def _wire(self) -> None:
        simulation = self.simulation
        inbox, store = self.port("inbox", self.inbox), self.port("store", self.store)
        cells, catalog = self.port("cells", self.cells), self.port("catalog", CATALOG)
        captures, sets = self.port("captures", self.captures), self.port("sets", self.sets)
        pointers = self.port("pointers", self.shown)

        def planned(model: str, run: str) -> Plan:
            body = store.get(RunPaths(model, run).plan)
            plan = plan_from(body) if body else None
            if not isinstance(plan, Plan):
                raise NotFound.of("run", "a planned run", run)
            return plan

        def score(unit: Any) -> Any:
            self.scoring[unit.run, unit.unit] += 1
            if self.scoring[unit.run, unit.unit] > 1:
                self.reach("a unit scored by two at once")
            try:
                return score_unit(
                    unit,
                    planned(unit.model, unit.run),
                    model=nightly_model,
                    inbox=inbox,
                    store=store,
                    cells=cells,
                    features=MemoryFeatures(),
                    clock=simulation.clock,
                    captures=captures,
                    candidates=sets,
                )
            finally:
                self.scoring[unit.run, unit.unit] -= 1

        def note(unit: Any, failure: Any) -> Any:
            self.reach("a crash noted for a unit")
            plan = planned(unit.model, unit.run)
            return note_crash(
                unit,
                plan,
                failure,
                contract=lambda: NIGHTLY,
                inbox=inbox,
                store=store,
                cells=cells,
            )

        def report(folder: RunPaths, failure: str | None) -> Any:
            if self.store.get(folder.manifest) is not None:
                self.reach("a report found that of an earlier attempt")
            found = report_run(
                folder,
                store=store,
                cells=cells,
                clock=self._time,
                failure=failure,
                live=lambda: current_run(folder.model, None, pointers),
            )
            self.reported.add(folder.run)
            if found["status"] == "succeeded" and shows_itself(folder, store):
                pointer = show_run(folder, store=store, cells=cells, clock=self._time)
                if pointer["run"] != folder.run:
                    self.reach("a run that ended late left the pointer alone")
                show_candidates(folder, store=store, cells=pointers, clock=self._time)
            return found

        def plan(request: Any, again: bool) -> Any:
            return plan_run(
                request,
                catalog=catalog,
                inbox=inbox,
                store=store,
                cells=cells,
                unit_bytes=UNIT_BYTES,
                again=again,
            )

        self.machines = Machines(
            self,
            self._function(
                "PlanRun",
                "plan_run",
                traced=lambda *_: nullcontext(""),
                planner=lambda: plan,
                redriver=lambda: lambda plan, name: plan_redrive(plan, name, store),
            ),
            self._function(
                "ScoreUnit",
                "score_unit",
                traced_unit=lambda unit: nullcontext(),
                scorer=lambda: score,
                crash_noter=lambda: note,
            ),
            self._function(
                "ReportRun",
                "report_run",
                traced=lambda *_: nullcontext(""),
                reporter=lambda: report,
            ),
        )
        self.executions = self.port("executions", self.machines)
        drop = self._function(
            "Drop",
            "drop",
            runs=lambda: self.executions,
            starting=lambda run: nullcontext(),
            bury_drop=self.queue.dead.append,
        )
        mappings = template().of_type("AWS::Lambda::EventSourceMapping")
        QueueSource(simulation, self.queue, drop, sqs.Config.of(mappings["DropDropped"]))

    def _function(self, name: str, folder: str, **wiring: Any) -> Function:
        timeout = template().of_type("AWS::Lambda::Function")[name]["Timeout"]
        found = handler(folder, **wiring)
        return Function(self.simulation, name, found, timeout, self.zombies, (UnitFailed,))

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self.simulation.clock(), UTC)

    # ---- what happens --------------------------------------------------------------------------

    def play(self) -> None:
        """See `Scenario.play`."""
        simulation = self.simulation
        for number, moment in enumerate(self.moments):
            if self.kept(number):
                self._dropped(number, START + moment)
        for reader in self.readers:
            reader.start()
        self.shoppers.start()
        simulation.violations += self.until_quiet(600, 24 * 3600)

    def _dropped(self, number: int, moment: float) -> None:
        key, body = self.files[number]
        stopped = self.stops[number]

        def put() -> None:
            snapshot = self.inbox.put(BUCKET, key, body)
            assert snapshot.version_id is not None
            run = run_name(BUCKET, key, snapshot.version_id)
            self.runs[number] = RunPaths("tiny", run)
            self.lists[run] = self.listed[number]
            found = {"key": key, "versionId": snapshot.version_id, "sequencer": "1"}
            record = {"eventName": "ObjectCreated:Put"}
            s3 = {"bucket": {"name": BUCKET}, "object": found}
            self.queue.send(json.dumps({"Records": [record | {"s3": s3}]}))
            self._operator(number)
            if stopped is not None:
                self.simulation.spawn(lambda: self._stop(number, stopped), f"stop-{number}")

        self.simulation.at(moment, put)

    def _stop(self, number: int, after: float) -> None:
        """Somebody who stops a run some seconds after it began."""
        folder = self.runs[number]
        while folder.run not in self.machines.held:
            self.simulation.sleep(1.0)
        self.simulation.sleep(after)
        running = sum(self.scoring[key] for key in self.scoring if key[0] == folder.run)
        for _ in range(5):
            try:
                stop(folder, self.executions)
                break
            except Transient:
                self.simulation.sleep(1)
            except QuintetError:
                return
        if running:
            self.reach("a run was stopped while its units ran")

    def _operator(self, number: int) -> None:
        """Somebody who redrives a run that failed or was stopped, until it succeeds."""
        folder = self.runs[number]

        def look() -> None:
            if self.machines.finally_ended(folder):
                return
            self.simulation.spawn(again, f"redrive-{number}")
            self.simulation.at(self.simulation.now + 600, look)

        def again() -> None:
            try:
                redrive(folder, self.executions)
            except QuintetError:
                return
            self.reach("a failed run was redriven")

        self.simulation.at(self.simulation.now + 900, look)

    def quiet(self) -> bool:
        """See `Scenario.quiet`."""
        return not self.queue.messages and all(
            self.machines.finally_ended(folder) for folder in self.runs.values()
        )

    def observe(self, task: Task, site: str, given: tuple[Any, ...], found: Any) -> None:
        """See `Scenario.observe`."""
        if site == "reads.shown":
            self.shoppers.observe(task, found)
        if site == "cells.swap" and found is True:
            self.shoppers.soon()
        elif site == "cells.swap" and found is False:
            self.reach("a pointer flip lost and retried")
        elif site == "executions.start" and task.name.startswith("Drop") and found is False:
            self.reach("a notification that came twice started nothing")
        elif site.startswith("store.") and task.name.startswith("ScoreUnit"):
            if site == "store.put" and given[0].split("/")[2] in self.reported:
                self.reach("a unit wrote after its run was reported")
            elif site == "store.get" and isinstance(found, bytes) and "/units/" in given[0]:
                self.reach("a unit found the result of an earlier attempt")

    def check(self) -> Iterator[str]:
        """See `Scenario.check`."""
        return held(self)
