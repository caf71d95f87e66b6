"""Asynchronous jobs, and the runs that score files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quintet.api.gateway import owner_of
from quintet.batch.plans import Plan, RunPaths
from quintet.errors import NotFound
from quintet.jobs.store import JobPage
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.job_store import jobs_of, own_jobs
from quintet_cli.registry import registry_of
from quintet_cli.run_reader import RunReader

__all__ = ["JobList", "RunLine", "RunList", "read_jobs", "read_runs"]

JOBS, RUNS = 10, 15
SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class JobList:
    """The newest jobs of an owner."""

    owner: str
    page: JobPage


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run: its state, how far it is (0 to 1; None before its plan), and its counts if it ended.

    `read` says that readers of the model's table see it.
    """

    model: str
    run: str
    started: str
    state: str
    source: str
    share: float | None
    counts: dict[str, int] | None
    reported: bool
    read: bool


@dataclass(frozen=True, slots=True)
class RunList:
    """The newest runs of all models, and how many there are."""

    runs: list[RunLine]
    total: int


def read_jobs(stage: SharedStage, owner: str = "") -> JobList | None:
    """The newest jobs of a caller, by default of who uses the console; None if there are none."""
    owner = owner_of(owner) if owner else own_jobs(stage)
    page = jobs_of(stage).page(owner, most=JOBS)
    return JobList(owner, page) if page.jobs else None


def read_runs(stage: SharedStage) -> RunList | None:
    """The newest runs of all models; None if there are none."""
    reader = RunReader(stage)
    lines = [line for model in registry_of(stage).models() for line in _runs(stage, reader, model)]
    if not lines:
        return None
    # a run without a plan has no time yet: it is the newest
    lines.sort(key=lambda line: (not line.started, line.started), reverse=True)
    return RunList(lines[:RUNS], len(lines))


def _runs(stage: SharedStage, reader: RunReader, model: str) -> Iterator[RunLine]:
    names = reader.names(model)
    read = {pointer["run"] for pointer in _pointers(reader, model)} if names else set()
    for name in names:
        folder = RunPaths(model, name)
        report = stage.kept.get((reader.bucket, folder.root))
        if report is None and (found := reader.report(folder)) and found["status"] == SUCCEEDED:
            report = stage.kept[reader.bucket, folder.root] = found  # it changes no more
        if report is not None:
            yield _ended(folder, report, name in read)
        else:
            yield _going(reader, folder, name in read)


def _pointers(reader: RunReader, model: str) -> list[dict[str, Any]]:
    try:
        return reader.pointers(model)
    except NotFound:  # it was withdrawn meanwhile
        return []


def _ended(folder: RunPaths, report: dict[str, Any], read: bool) -> RunLine:
    return RunLine(
        folder.model,
        folder.run,
        report["started"] or "",
        report["status"],
        report["input"].get("key", ""),
        1.0,
        report["counts"],
        reported=True,
        read=read,
    )


def _going(reader: RunReader, folder: RunPaths, read: bool) -> RunLine:
    """A run that has not succeeded: it may be under way again, or have ended without a report."""
    progress = next(reader.follow(folder))
    if progress.report is not None:
        return _ended(folder, progress.report, read)
    if not isinstance(progress.plan, Plan):
        state = reader.ended(folder) or "starting"
        return RunLine(folder.model, folder.run, "", state, "", None, None, False, read)
    plan = progress.plan
    return RunLine(
        folder.model,
        folder.run,
        plan.started,
        reader.ended(folder) or f"running: {progress.rows:,} of {plan.rows:,} rows",
        plan.input.key,
        progress.rows / plan.rows if plan.rows else None,
        None,
        reported=False,
        read=read,
    )
