"""The status of a run, and the newest runs of a model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import orjson

from quintet.batch.executions import Executions, last_execution, owner_of
from quintet.batch.plans import Plan, RefusedPlan, RunPaths, plan_from, slug
from quintet.batch.stores import ObjectStore
from quintet.errors import BadInput, NotFound

__all__ = ["RunIndex", "RunPage", "newest", "show"]

#: number of documents that are fetched in parallel
THREADS = 16


class RunIndex(ObjectStore, Protocol):
    """A store whose folders can be listed."""

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below `prefix`, sorted."""
        ...


class RunPage(NamedTuple):
    """A page of a model's runs, newest first, and the token of the next page."""

    runs: list[dict[str, Any]]
    after: str | None


def show(
    folder: RunPaths, store: ObjectStore, executions: Executions, caller: str | None = None
) -> dict[str, Any]:
    """The status of a run. A `caller` sees their own runs and those of the stage.

    Raises:
        NotFound: the run does not exist, or belongs to another caller.
        Transient: a store could not be read.
    """
    report = orjson.loads(store.get(folder.report) or b"null")
    execution = last_execution(folder, executions)
    body = store.get(folder.plan)
    plan = plan_from(body) if body else None
    if execution is None and plan is None and report is None:
        raise _no_run(folder)
    if not _visible(plan.owner if plan else owner_of(execution), caller):
        raise _no_run(folder)
    # after the report, the manifest and the table's pointer may still be missing
    if report and not (execution and execution.running):
        return _reported(folder, report)
    found = _planned(folder, plan)
    if isinstance(plan, Plan):
        found["units"]["done"] = len(store.keys(folder.results))
    if execution is not None and not execution.running:
        stopped = execution.status == "ABORTED"
        found |= {"status": "stopped" if stopped else "failed", "cause": execution.cause}
    return found


def _no_run(folder: RunPaths) -> BadInput:
    return NotFound.of("run", f"a run of {folder.model}", repr(folder.run[:80]))


def _visible(owner: str | None, caller: str | None) -> bool:
    """Whether a caller may see a run; None is the operator, who sees all runs."""
    return caller is None or owner is None or owner == caller


def newest(
    model: str, shelf: RunIndex, most: int, after: str | None = None, caller: str | None = None
) -> RunPage:
    """The newest runs of a model; `after` is the token from the page before.

    A `caller` sees runs of their own and those of the stage.

    Raises:
        Transient: the store could not be read.
    """
    folders = [RunPaths(model, name) for name in shelf.folders(f"runs/{slug(model)}/")]

    def planned(folder: RunPaths) -> tuple[str, RunPaths, Plan | RefusedPlan | None]:
        body = shelf.get(folder.plan)
        plan = plan_from(body) if body else None
        # a run that is not planned yet sorts as the newest
        return f"{plan.started if plan else '9'}_{folder.run}", folder, plan

    def told(found: tuple[str, RunPaths, Plan | RefusedPlan | None]) -> dict[str, Any]:
        _, folder, plan = found
        report = shelf.get(folder.report)
        return _reported(folder, orjson.loads(report)) if report else _planned(folder, plan)

    with ThreadPoolExecutor(THREADS) as pool:
        every = pool.map(planned, folders)
        known = [f for f in every if caller is None or (f[2] and _visible(f[2].owner, caller))]
        known.sort(key=lambda found: found[0], reverse=True)
        left = [found for found in known if after is None or found[0] < after]
        runs = list(pool.map(told, left[:most]))
    return RunPage(runs, left[most - 1][0] if len(left) > most else None)


def _reported(folder: RunPaths, report: dict[str, Any]) -> dict[str, Any]:
    units = report.get("units")
    return {
        "run": folder.run,
        "model": folder.model,
        "version": report.get("version"),
        "status": report["status"],
        "cause": report["cause"],
        "started": report["started"],
        "finished": report["finished"],
        "input": {n: report["input"].get(n) for n in ("bucket", "key", "version_id")},
        "counts": report["counts"],
        "units": {name: units[name] for name in ("planned", "done")} if units else None,
    }


def _planned(folder: RunPaths, plan: Plan | RefusedPlan | None) -> dict[str, Any]:
    """The status of a run without a report."""
    found: dict[str, Any] = {
        "run": folder.run,
        "model": folder.model,
        "version": None,
        "status": "running" if plan else "starting",
        "cause": "",
        "started": plan.started if plan else None,
        "finished": None,
        "input": None,
        "counts": None,
        "units": None,
    }
    if isinstance(plan, Plan):
        source = plan.input
        found["version"] = plan.version
        found["input"] = {n: getattr(source, n) for n in ("bucket", "key", "version_id")}
        found["counts"] = {"rows": plan.rows}
        found["units"] = {"planned": plan.units, "done": None}
    return found
