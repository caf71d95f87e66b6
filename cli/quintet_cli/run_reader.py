"""Reads the runs of a stage from the scores bucket and Step Functions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from quintet.aws.executions import StateMachineExecutions
from quintet.aws.scores_bucket import S3ObjectStore
from quintet.batch.executions import execution_input, last_execution
from quintet.batch.plans import Plan, RefusedPlan, RunPaths, plan_from, slug
from quintet.batch.stores import ObjectStore
from quintet.batch.tables import tables_of
from quintet_cli.registry import route_of
from quintet_cli.stage import Stage, StageError

__all__ = ["Progress", "RunReader", "parquet_plan"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: finished units, and rows scored, including those of unfinished units.

    `report` is None until the run has ended.
    """

    plan: Plan | RefusedPlan | None
    units: int
    rows: int
    report: dict[str, Any] | None


def parquet_plan(store: ObjectStore, folder: RunPaths) -> Plan:
    """Return the plan of a complete run whose scores are Parquet."""
    body = store.get(folder.plan) if store.get(folder.manifest) else None
    plan = plan_from(body) if body else None
    if not isinstance(plan, Plan):
        raise StageError(
            f"run {folder.run} of {folder.model} has not succeeded",
            command=f"quintet runs show {folder.model} {folder.run}",
        )
    if plan.output != "parquet":
        raise StageError(
            f"the scores of run {plan.run} are {plan.output}; expected parquet",
            command=f"quintet runs ls {folder.model}",
        )
    return plan


class RunReader:
    """Reads the runs of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage, outputs = stage, stage.outputs
        self.bucket = outputs["ScoresBucketName"]
        self.store = S3ObjectStore(stage.signed("s3"), self.bucket)
        self.executions = StateMachineExecutions(stage.signed("states"), outputs["BatchScoringArn"])

    def names(self, model: str) -> list[str]:
        """Return the names of a model's runs."""
        return self.store.folders(f"runs/{slug(model)}/")

    def plan(self, folder: RunPaths) -> Plan | RefusedPlan | None:
        """Return a run's plan; None before it is planned."""
        body = self.store.get(folder.plan)
        return plan_from(body) if body else None

    def report(self, folder: RunPaths) -> dict[str, Any] | None:
        """Return a run's report; None if it does not exist yet."""
        body = self.store.get(folder.report)
        report: dict[str, Any] | None = orjson.loads(body) if body else None
        return report

    def reported(self, folder: RunPaths) -> dict[str, Any]:
        """Return the report of a run that ended.

        Raises:
            StageError: it has no report, or the run does not exist.
            NotFound: the model is not published.
        """
        found = self.report(folder)
        if found is None:
            known = self.plan(folder) is not None
            if not known:
                route_of(self._stage, folder.model)
            raise StageError(
                f"run {folder.run} has no report{' yet' if known else ': there is no such run'}",
                command=f"quintet runs watch {folder.model} {folder.run}"
                if known
                else f"quintet runs ls {folder.model}",
            )
        return found

    def pointers(self, model: str) -> list[dict[str, Any]]:
        """Return the run that readers see, for a model's table and for each partition.

        Raises:
            NotFound: the model has no table and is not published.
        """
        keys = [key for key in self.store.keys(tables_of(model)) if key.endswith("/current.json")]
        if not keys:
            route_of(self._stage, model)
        return [orjson.loads(self.store.get(key) or b"{}") for key in keys]

    def newest(self, model: str) -> RunPaths:
        """Return the run of a model that was started last.

        Raises:
            StageError: the model has no runs.
            NotFound: it is not published, either.
        """
        folders = [RunPaths(model, name) for name in self.names(model)]
        if not folders:
            route_of(self._stage, model)
            raise StageError(
                f"no file was dropped for {model} yet; `quintet drop FILE {model}` scores one",
                command="quintet drop --help",
            )
        return max(folders, key=self._started)

    def _started(self, folder: RunPaths) -> str:
        plan = self.plan(folder)
        return plan.started if plan else ""

    def ended(self, folder: RunPaths) -> str | None:
        """Return how the run's last execution ended; None while it is running or unknown."""
        found = last_execution(folder, self.executions)
        if found is None or found.running:
            return None
        return f"{found.status}: {found.cause or 'no cause is given'}"

    def running(self, execution: str) -> bool:
        """Whether an execution is running."""
        found = self.executions.look(execution)
        return found is not None and found.running

    def using(self, model: str, version: int) -> list[str]:
        """Return the runs under way that use a version, or that are not planned yet."""
        found = []
        for name in self.executions.running():
            execution = self.executions.look(name)
            if execution is None:
                continue
            asked = execution_input(execution.name, execution.request)
            plan = self.plan(asked.folder) if asked.folder.model == model else None
            pinned = plan.version if isinstance(plan, Plan) else asked.request.get("version")
            if asked.folder.model == model and pinned in (None, version):
                found.append(asked.folder.run)
        return found

    def _going(self, folder: RunPaths, done: Collection[str]) -> int:
        """Return the rows scored so far in unfinished units, from their heartbeats."""
        ended = {key.rpartition("/")[2] for key in done}
        beats = [k for k in self.store.keys(folder.beats) if k.rpartition("/")[2] not in ended]
        return sum(orjson.loads(self.store.get(key) or b'{"rows": 0}')["rows"] for key in beats)

    def follow(self, folder: RunPaths) -> Iterator[Progress]:
        """Yield the progress of a run at each poll, until it has a report."""
        plan: Plan | RefusedPlan | None = None
        done: dict[str, int] = {}
        while True:
            report = self.report(folder)
            if report is not None:
                last = last_execution(folder, self.executions)
                # it may be of an earlier attempt, or the table's pointer may not have moved yet
                report = None if last and last.running else report
            plan = plan if isinstance(plan, Plan) else self.plan(folder)
            for key in self.store.keys(folder.results):
                if key not in done:
                    done[key] = orjson.loads(self.store.get(key) or b'{"rows": 0}')["rows"]
            rows = sum(done.values()) + self._going(folder, done)
            yield Progress(plan, len(done), rows, report)
            if report is not None:
                return
