"""Batch runs: files dropped, planned, scored in units, reported, stopped, redriven, and read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

import orjson
from tests.kits.batch import BUCKET, CONTRACT, Bench, csv_bytes, jsonl_bytes, row, tiny_graph
from tests.simulation.kernel import Simulation, Task
from tests.simulation.lambdas import Function, handler, template
from tests.simulation.queues import Queue, QueueSource
from tests.simulation.scenario import START, Scenario
from tests.simulation.scenarios.batch_parts import Machines, Reader

from quintet.batch.crashes import note_crash
from quintet.batch.executions import plan_redrive, redrive, stop
from quintet.batch.planning import MemoryCatalog, Pinned, plan_run
from quintet.batch.plans import Plan, RunPaths, plan_from, run_name
from quintet.batch.reports import report_run
from quintet.batch.stores import MemoryConditionalObjects, MemoryInputBucket, MemoryObjectStore
from quintet.batch.tables import current_run, show_run, shows_itself
from quintet.batch.units import UnitFailed, score_unit
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import read_parquet
from quintet.contract import Capture
from quintet.errors import NotFound, QuintetError
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet_local.sources import sqs

__all__ = ["Batch"]

CAPTURED = replace(CONTRACT, capture=Capture())
CATALOG = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, CAPTURED))
UNIT_BYTES = 400


@cache
def _model() -> OnnxModel:
    return OnnxModel(CAPTURED, tiny_graph(), digest="d" * 64)


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
    )
    RARE: ClassVar[dict[str, float]] = {
        "cells.swap": 4.0,
        "cells.read": 3.0,
        "executions.start": 3.0,
        "executions.stop": 6.0,
        "catalog.pin": 3.0,
        "inbox.snapshot": 3.0,
    }

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        super().__init__(simulation, keep)
        chance = self.chance
        self.zombies = chance.random() < 0.5
        self.inbox, self.store = MemoryInputBucket(), MemoryObjectStore()
        self.cells = MemoryConditionalObjects(self.store.objects)
        self.captures = MemoryCaptures()
        visibility = template().of_type("AWS::SQS::Queue")["DropQueue"]["VisibilityTimeout"]
        self.queue = Queue(simulation, "drop-queue", visibility)
        self.files = [self._draw(number) for number in range(chance.choice((1, 2, 3)))]
        self.moments = [chance.uniform(0, 600) for _ in self.files]
        self.stops = [
            chance.choice((1.2, 2.0, 10.0, 300.0)) * chance.random()
            if chance.random() < 0.4
            else None
            for _ in self.files
        ]
        self.runs: dict[int, RunPaths] = {}
        self.scoring: Counter[tuple[str, int]] = Counter()
        self.reported: set[str] = set()
        self._wire()
        self.readers = [Reader(self, name) for name in ("r1", "r2")]

    def _draw(self, number: int) -> tuple[str, bytes]:
        """A file: its key, and some rows of which one in ten is refused."""
        chance, first = self.chance, 1000 * number
        rows = [
            row(first + n, **({"visits": -1} if chance.random() < 0.1 else {}))
            for n in range(chance.choice((1, 20, 80)))
        ]
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
        captures = self.port("captures", self.captures)

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
                    model=_model,
                    inbox=inbox,
                    store=store,
                    features=MemoryFeatures(),
                    clock=simulation.clock,
                    captures=captures,
                )
            finally:
                self.scoring[unit.run, unit.unit] -= 1

        def note(unit: Any, failure: Any) -> Any:
            self.reach("a crash noted for a unit")
            plan = planned(unit.model, unit.run)
            return note_crash(
                unit, plan, failure, contract=lambda: CAPTURED, inbox=inbox, store=store
            )

        def report(folder: RunPaths, failure: str | None) -> Any:
            if self.store.get(folder.manifest) is not None:
                self.reach("a report found that of an earlier attempt")
            found = report_run(folder, store=store, cells=cells, clock=self._time, failure=failure)
            self.reported.add(folder.run)
            if found["status"] == "succeeded" and shows_itself(folder, store):
                pointer = show_run(folder, store=store, cells=cells, clock=self._time)
                if pointer["run"] != folder.run:
                    self.reach("a run that ended late left the pointer alone")
            return found

        def plan(request: Any, again: bool) -> Any:
            return plan_run(
                request,
                catalog=catalog,
                inbox=inbox,
                store=store,
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
        simulation.violations += self.until_quiet(600, 24 * 3600)

    def _dropped(self, number: int, moment: float) -> None:
        key, body = self.files[number]
        stopped = self.stops[number]

        def put() -> None:
            snapshot = self.inbox.put(BUCKET, key, body)
            assert snapshot.version_id is not None
            run = run_name(BUCKET, key, snapshot.version_id)
            self.runs[number] = RunPaths("tiny", run)
            found = {"key": key, "versionId": snapshot.version_id, "sequencer": "1"}
            record = {"eventName": "ObjectCreated:Put"}
            s3 = {"bucket": {"name": BUCKET}, "object": found}
            self.queue.send(json.dumps({"Records": [record | {"s3": s3}]}))
            self._operator(number)
            if stopped is not None:
                simulation = self.simulation
                simulation.spawn(lambda: self._stop(number), f"stop-{number}", after=stopped)

        self.simulation.at(moment, put)

    def _stop(self, number: int) -> None:
        folder = self.runs[number]
        running = sum(self.scoring[key] for key in self.scoring if key[0] == folder.run)
        try:
            stop(folder, self.executions)
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
        if site == "cells.swap" and found is False:
            self.reach("a pointer flip lost and retried")
        elif site == "executions.start" and task.name.startswith("Drop") and found is False:
            self.reach("a notification that came twice started nothing")
        elif site.startswith("store.") and task.name.startswith("ScoreUnit"):
            if site == "store.put" and given[0].split("/")[2] in self.reported:
                self.reach("a unit wrote after its run was reported")
            elif site == "store.get" and isinstance(found, bytes) and "/units/" in given[0]:
                self.reach("a unit found the result of an earlier attempt")

    # ---- what must hold ------------------------------------------------------------------------

    def check(self) -> Iterator[str]:
        """See `Scenario.check`."""
        succeeded = []
        for number, folder in self.runs.items():
            status = self.machines.last(folder).status
            plan = plan_from(self.store.objects[folder.plan])
            if self.machines.refused(folder):
                self.reach("a file was refused")
                if folder.manifest in self.store.objects:
                    yield f"whole runs: {folder.run} is refused and has a manifest"
            elif isinstance(plan, Plan):
                if status != "SUCCEEDED" or folder.manifest not in self.store.objects:
                    yield f"conservation: {folder.run} is {status}"
                    continue
                succeeded.append(plan)
                yield from self._check_run(number, folder, plan)
        pointer = current_run("tiny", None, self.cells)
        newest = max((plan.started for plan in succeeded), default=None)
        if (pointer and pointer["started"]) != newest:
            yield f"pointer: it stands at {pointer and pointer['started']}, not at {newest}"
        for reader in self.readers:
            yield from reader.problems

    def _check_run(self, number: int, folder: RunPaths, plan: Plan) -> Iterator[str]:
        """Hold a run to the same run without faults."""
        calm = Bench(CATALOG, _model())
        same = calm.plan(self.files[number][0], self.files[number][1], UNIT_BYTES)
        calm.score(same)
        report = orjson.loads(self.store.objects[folder.report])
        counts = report["counts"]
        if counts["rows"] != counts["scored"] + counts["quarantined"] or counts["unaccounted"]:
            yield f"conservation: {folder.run} counts {counts}"
        for part in ("scores", "quarantine"):
            prefix = f"{folder.root}{part}/"
            mine, wanted = (
                {key: held[key] for key in held if key.startswith(prefix)}
                for held in (self.store.objects, calm.store.objects)
            )
            if mine != wanted:
                yield f"same bytes: {folder.run} has {len(mine)} {part}, and {len(wanted)} in calm"
        rows: Counter[Any] = Counter()
        for key, body in self.captures.objects.items():
            if folder.run in key:
                table = read_parquet(body)
                rows.update(zip(table["event"].to_pylist(), table["row"].to_pylist(), strict=True))
        if sum(rows.values()) != counts["rows"] or any(count > 1 for count in rows.values()):
            yield f"captures: {folder.run} has {sum(rows.values())} of {counts['rows']} rows"
