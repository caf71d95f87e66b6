"""The parts of the world of batch runs: the state machine's executions, and who reads a table."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from tests.simulation.lambdas import Function
from tests.simulation.machines import Task

from quintet.batch.executions import Execution, MemoryExecutions
from quintet.batch.plans import RunPaths
from quintet.batch.tables import current_run

if TYPE_CHECKING:
    from tests.simulation.scenarios.batch import Batch

__all__ = ["Machines", "Reader"]


class Machines(MemoryExecutions):
    """Executions of batch_scoring: plan, score every unit, report."""

    def __init__(self, world: Batch, plan: Function, score: Function, report: Function) -> None:
        super().__init__()
        self.world = world
        simulation = world.simulation
        self._plan = Task(simulation, "PlanRun", plan)
        self._score = Task(simulation, "ScoreUnit", score)
        self._note = Task(simulation, "NoteCrash", score)
        self._report = Task(simulation, "ReportRun", report)

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `Executions.start`."""
        if run in self.held:
            return super().start(run, request)
        super().start(run, request)
        now = datetime.fromtimestamp(self.world.simulation.now, UTC)
        started = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        about = {"run": run, "started": started, "request": request}
        if "stop" in request:
            self._reported(about, request["failure"]["Error"])
        else:
            self._plan.run(
                about,
                lambda planned: self._planned(about, planned),
                lambda error: self._reported(about, error),
                lambda: self.held[run].running,
            )
        return True

    def _planned(self, about: dict[str, Any], planned: dict[str, Any]) -> None:
        run, left = about["run"], [planned["units"]]
        if not planned["units"]:
            self._reported(about, None)
            return

        def over(*_: object) -> None:
            left[0] -= 1
            if not left[0] and self.held[run].running:
                self._reported(about, None)

        for unit in orjson.loads(self.world.store.objects[planned["units_key"]]):
            self._unit(run, unit, over)

    def _unit(self, run: str, unit: dict[str, Any], over: Any) -> None:
        def goes_on() -> bool:
            return self.held[run].running

        def failed(error: str) -> None:
            if error == "UnitFailed":
                over()
            else:
                failure = {"failure": {"Error": error, "Cause": ""}}
                self._note.run(unit | failure, over, over, goes_on)

        self._score.run(unit, over, failed, goes_on)

    def _reported(self, about: dict[str, Any], failure: str | None) -> None:
        run = about["run"]
        given = {"run": run, "request": about["request"], "failure": failure}

        def done(summary: dict[str, Any]) -> None:
            status = "SUCCEEDED" if summary["status"] in ("succeeded", "stopped") else "FAILED"
            self.ended(run, status, summary["cause"])

        self._report.run(
            given, done, lambda error: self.ended(run, "FAILED"), lambda: self.held[run].running
        )

    def last(self, folder: RunPaths) -> Execution:
        """The last execution of a run."""
        found, number = self.held[folder.run], 0
        while after := self.held.get(f"{folder.run}-r{number + 1}"):
            found, number = after, number + 1
        return found

    def finally_ended(self, folder: RunPaths) -> bool:
        """Whether nothing is left to redrive: it succeeded, or its input is refused."""
        if folder.run not in self.held or any(e.running for e in self.held.values()):
            return False
        return self.refused(folder) or self.last(folder).status == "SUCCEEDED"

    def refused(self, folder: RunPaths) -> bool:
        """Whether a run was refused, for its file or for its rows: a redrive would not help."""
        report = self.world.store.objects.get(folder.report)
        return report is not None and orjson.loads(report)["status"] == "refused"


class Reader:
    """Somebody who reads the table: whole runs only, and never an older one than before."""

    def __init__(self, world: Batch, name: str) -> None:
        self.world = world
        self.name = name
        self.problems: list[str] = []
        self._store = world.port(f"{name}-store", world.store, kinds=())
        self._cells = world.port(f"{name}-cells", world.cells, kinds=())
        self._newest = ""

    def start(self) -> None:
        """Read now and then."""
        self.world.simulation.spawn(self._run, self.name)

    def _run(self) -> None:
        simulation = self.world.simulation
        while simulation.now < self.world.faults.calm + 1800:
            simulation.sleep(1 + 240 * simulation.faults.uniform(self.name))
            pointer = current_run("tiny", None, self._cells)
            if pointer is not None:
                self._read(pointer)

    def _read(self, pointer: dict[str, Any]) -> None:
        if pointer["started"] < self._newest:
            self.problems.append(f"monotonic: {self.name} saw {pointer['run']} after a newer run")
        self._newest = pointer["started"]
        body = self._store.get(pointer["manifest"])
        if body is None or hashlib.sha256(body).hexdigest() != pointer["sha256"]:
            self.problems.append(f"whole runs: the manifest of {pointer['run']} is not there")
            return
        if any(execution.running for execution in self.world.machines.held.values()):
            self.world.reach("a reader read a run while another was written")
        for file in orjson.loads(body)["files"]:
            content = self._store.get(file["key"])
            if content is None or hashlib.sha256(content).hexdigest() != file["sha256"]:
                self.problems.append(f"whole runs: {file['key']} is not as its manifest says")
