"""The executions of one run: the first, its redrives, and the report of one that was stopped.

Step Functions' own redrive goes on where an execution has failed, which is after a map that
tolerates failures, and it knows no results. So a redrive is an execution of its own over the units
without a valid one, in the run's folder; its name says which, `<run>-r1`, `<run>-r2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import orjson

from quintet.batch.plans import Plan, RunPaths, dump
from quintet.batch.requests import model_of
from quintet.batch.stores import ObjectStore
from quintet.errors import Conflict, NotFound

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

#: the error of a run that somebody stopped
STOPPED = "Quintet.Stopped"
#: how many results are read at once
THREADS = 16


class Execution(NamedTuple):
    """An execution of the state machine as Step Functions shows it."""

    name: str
    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED
    cause: str
    request: dict[str, Any]

    @property
    def running(self) -> bool:
        return self.status == "RUNNING"


class Executions(Protocol):
    """Where executions are started, looked up and stopped."""

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `quintet.batch.drops.RunStarter.start`."""
        ...

    def look(self, name: str) -> Execution | None:
        """An execution; None if no execution has that name.

        Raises:
            Transient: it could not be looked up now.
        """
        ...

    def stop(self, name: str, error: str) -> None:
        """End an execution that runs; one that has ended stays as it is.

        Raises:
            Transient: it could not be stopped now.
        """
        ...


class MemoryExecutions:
    """Executions that run until they are stopped, or `ended` by hand."""

    def __init__(self) -> None:
        self.held: dict[str, Execution] = {}

    def start(self, run: str, request: dict[str, Any]) -> bool:
        """See `Executions.start`: the same again is no error while the first runs."""
        held = self.held.setdefault(run, Execution(run, "RUNNING", "", request))
        return held.running and held.request == request

    def look(self, name: str) -> Execution | None:
        """See `Executions.look`."""
        return self.held.get(name)

    def stop(self, name: str, error: str) -> None:
        """See `Executions.stop`."""
        if self.held[name].running:
            self.ended(name, "ABORTED", error)

    def ended(self, name: str, status: str, cause: str = "") -> None:
        """End an execution in one way or another."""
        self.held[name] = self.held[name]._replace(status=status, cause=cause)


class ExecutionInput(NamedTuple):
    """What an execution is to do: for which run, and what that run was asked for."""

    folder: RunPaths
    request: Mapping[str, Any]
    redrive: bool


def execution_input(execution: str, given: Mapping[str, Any]) -> ExecutionInput:
    """What the execution of that name and input is to do."""
    run = given.get("redrive") or given.get("stop")
    request = given["request"] if run else given
    return ExecutionInput(
        RunPaths(model_of(request), run or execution), request, "redrive" in given
    )


def last_execution(folder: RunPaths, executions: Executions) -> Execution | None:
    """The newest execution of a run; None where Step Functions knows of none.

    It forgets an execution 90 days after its end.

    Raises:
        Transient: it could not be looked up now.
    """
    found, number = executions.look(folder.run), 0
    if found is None or execution_input(found.name, found.request).folder != folder:
        return None  # another model's, or not the first of its run
    while after := executions.look(f"{folder.run}-r{number + 1}"):
        found, number = after, number + 1
    return found


def owner_of(execution: Execution | None) -> str | None:
    """The caller of the API who asked for the run of an execution; None for the stage's own."""
    return _asked(execution).get("owner") if execution else None


def stop(folder: RunPaths, executions: Executions, caller: str | None = None) -> Execution:
    """Stop a run and have what it has scored reported; again does no harm. The report's execution.

    A `caller` stops runs of their own only.

    Raises:
        NotFound: there is no such run, or it is another caller's.
        Conflict: it has ended by itself, or is the stage's.
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
    """Start a run again for the units without a result; two calls at once start one.

    Raises:
        NotFound: there is no such run.
        Conflict: it is running, or has nothing to be redriven.
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
    """Store the units of a run that are not done; the key of the list, and how many there are.

    Raises:
        Transient: the store could not be read.
    """
    units = orjson.loads(store.get(plan.folder.units) or b"[]")

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
    """What the first execution of the run was asked for."""
    request: dict[str, Any] = execution.request.get("request", execution.request)
    return request


def _stopping(execution: Execution) -> str:
    """The name of the execution that reports one that was stopped: at most 80 characters."""
    return f"{execution.name}-x"
