"""The executions of one run: the first, its redrives, and the report after a stop.

Step Functions' own redrive resumes where an execution failed, which is after a map that tolerates
failures, and it does not read results. So a redrive here is a new execution over the units without
a valid result, in the run's folder, with a numbered name: `<run>-r1`, `<run>-r2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import orjson

from quintet.batch.plans import Plan, RunPaths, dump
from quintet.batch.requests import model_of
from quintet.batch.stores import ObjectStore
from quintet.errors import Conflict, NotFound, Transient

__all__ = [
    "STOPPED",
    "Execution",
    "ExecutionInput",
    "Executions",
    "MemoryExecutions",
    "execution_input",
    "last_execution",
    "owner_of",
    "plan_redrive",
    "redrive",
    "stop",
]

#: the error of a run that was stopped on request
STOPPED = "Quintet.Stopped"
#: number of results that are read in parallel
THREADS = 16


class Execution(NamedTuple):
    """An execution of the state machine, as Step Functions describes it."""

    name: str
    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED
    cause: str
    request: dict[str, Any]

    @property
    def running(self) -> bool:
        return self.status == "RUNNING"


class Executions(Protocol):
    """Starts, looks up and stops executions."""

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `quintet.batch.drops.RunStarter.start`."""
        ...

    def look(self, name: str) -> Execution | None:
        """Look up an execution; None if no execution has that name.

        Raises:
            Transient: it could not be looked up now.
        """
        ...

    def stop(self, name: str, error: str) -> None:
        """Stop a running execution; one that has ended does not change.

        Raises:
            Transient: it could not be stopped now, or does not exist.
        """
        ...


class MemoryExecutions:
    """Executions in memory, which run until they are stopped or `ended`."""

    def __init__(self) -> None:
        self.held: dict[str, Execution] = {}

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `Executions.start`; repeating a start is no error while the first runs."""
        held = self.held.setdefault(run, Execution(run, "RUNNING", "", request))
        return held.running and held.request == request

    def look(self, name: str) -> Execution | None:
        """See `Executions.look`."""
        return self.held.get(name)

    def stop(self, name: str, error: str) -> None:
        """See `Executions.stop`."""
        if name not in self.held:
            raise Transient(f"there is no execution {name}")
        if self.held[name].running:
            self.ended(name, "ABORTED", error)

    def ended(self, name: str, status: str, cause: str = "") -> None:
        """End an execution with a status."""
        self.held[name] = self.held[name]._replace(status=status, cause=cause)


class ExecutionInput(NamedTuple):
    """The input of an execution: its run, and the run's request."""

    folder: RunPaths
    request: Mapping[str, Any]
    redrive: bool


def execution_input(execution: str, given: Mapping[str, Any]) -> ExecutionInput:
    """Parse an execution's name and input."""
    run = given.get("redrive") or given.get("stop")
    request = given["request"] if run else given
    return ExecutionInput(
        RunPaths(model_of(request), run or execution), request, "redrive" in given
    )


def last_execution(folder: RunPaths, executions: Executions) -> Execution | None:
    """The newest execution of a run; None if Step Functions has none.

    Step Functions deletes an execution 90 days after its end.

    Raises:
        Transient: it could not be looked up now.
    """
    found, number = executions.look(folder.run), 0
    if found is None or execution_input(found.name, found.request).folder != folder:
        return None  # of another model, or not the first of its run
    while after := executions.look(f"{folder.run}-r{number + 1}"):
        found, number = after, number + 1
    return found


def owner_of(execution: Execution | None) -> str | None:
    """The API caller who requested an execution's run; None for the stage's own runs."""
    return _asked(execution).get("owner") if execution else None


def stop(folder: RunPaths, executions: Executions, caller: str | None = None) -> Execution:
    """Stop a run and start the report of its results; return the report's execution. Idempotent.

    A `caller` may stop only their own runs.

    Raises:
        NotFound: the run does not exist, or belongs to another caller.
        Conflict: it has already ended, or belongs to the stage.
        Transient: it could not be stopped now.
    """
    last = _known(folder, executions)
    if caller is not None and (owner := owner_of(last)) != caller:
        if owner is None:
            raise Conflict.of("run", "one that the caller started", "one of the stage")
        raise NotFound.of("run", f"a run of {folder.model}", repr(folder.run[:80]))
    if last.running:
        executions.stop(last.name, STOPPED)
    elif last.status != "ABORTED":
        raise Conflict.of("run", "one that is running", f"one that has ended: {last.status}")
    given = {"stop": folder.run, "request": _asked(last), "failure": {"Error": STOPPED}}
    executions.start(_stopping(last), given)
    return Execution(_stopping(last), "RUNNING", "", given)


def redrive(folder: RunPaths, executions: Executions) -> Execution:
    """Start a run again for the units without a result; concurrent calls start it once.

    Raises:
        NotFound: the run does not exist.
        Conflict: it is running, or has nothing to redrive.
        Transient: it could not be started now.
    """
    last = _known(folder, executions)
    ending = executions.look(_stopping(last))
    if last.running or (ending and ending.running):
        raise Conflict.of("run", "one that has ended", "one that is running")
    if last.status == "SUCCEEDED":
        raise Conflict.of("run", "one that has failed or was stopped", "one that has succeeded")
    _, dash, number = last.name[len(folder.run) :].partition("-r")
    name = f"{folder.run}-r{int(number) + 1 if dash else 1}"
    given = {"redrive": folder.run, "request": _asked(last)}
    executions.start(name, given)
    return Execution(name, "RUNNING", "", given)


def plan_redrive(plan: Plan, execution: str, store: ObjectStore) -> tuple[str, int]:
    """Store the list of a run's unfinished units; return the list's key and its length.

    Raises:
        Transient: the store could not be read.
    """
    units = orjson.loads(store.get(plan.units_key) or b"[]")

    def done(unit: dict[str, Any]) -> bool:
        body = store.get(plan.folder.result(unit["unit"]))
        return body is not None and bool(orjson.loads(body)["status"] == "done")

    with ThreadPoolExecutor(THREADS) as pool:
        left = [unit for unit, over in zip(units, pool.map(done, units), strict=True) if not over]
    key = plan.folder.redrive(execution)
    store.put(key, dump(left))
    return key, len(left)


def _known(folder: RunPaths, executions: Executions) -> Execution:
    found = last_execution(folder, executions)
    if found is None:
        raise NotFound.of("run", f"a run of {folder.model}", repr(folder.run[:80]))
    return found


def _asked(execution: Execution) -> dict[str, Any]:
    """The request of the run's first execution."""
    request: dict[str, Any] = execution.request.get("request", execution.request)
    return request


def _stopping(execution: Execution) -> str:
    """The name of the execution that reports a stopped one: at most 80 characters."""
    return f"{execution.name}-x"
