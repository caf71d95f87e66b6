"""The executions of one run: stopped, redriven, and never two at once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.kits.batch import Bench, csv_bytes, row
from tests.quintet.batch.test_reports import clock

from quintet.batch.executions import (
    STOPPED,
    MemoryExecutions,
    execution_input,
    last_execution,
    plan_redrive,
    redrive,
    stop,
)
from quintet.batch.inputs import sources_from
from quintet.batch.planning import MemoryCatalog, plan_run
from quintet.batch.plans import Plan, RunPaths, plan_from
from quintet.batch.reports import report_run
from quintet.batch.requests import request_from
from quintet.errors import Conflict, NotFound

RUN = RunPaths("tiny", "tiny-a-0123")
ASKED = {"bucket": "inbox", "key": "tiny/a.csv", "version_id": "v1"}
ROWS = [row(number, country="xx" if number % 10 == 7 else "de") for number in range(50)]


@pytest.fixture
def executions() -> MemoryExecutions:
    held = MemoryExecutions()
    held.start(RUN.run, ASKED)
    return held


def reported(bench: Bench, plan: Plan, failure: str | None = None) -> dict[str, Any]:
    """The report of a run's results."""
    return report_run(
        plan.folder, store=bench.store, cells=bench.cells, clock=clock, failure=failure
    )


def names(executions: MemoryExecutions) -> dict[str, str]:
    return {name: found.status for name, found in executions.held.items()}


def test_an_execution_says_what_it_is_to_do() -> None:
    first = execution_input(RUN.run, ASKED)
    assert (first.folder, first.request, first.redrive) == (RUN, ASKED, False)
    again = execution_input(f"{RUN.run}-r1", {"redrive": RUN.run, "request": ASKED})
    assert (again.folder, again.request, again.redrive) == (RUN, ASKED, True)
    given = {"stop": RUN.run, "request": ASKED, "failure": {"Error": STOPPED}}
    told = execution_input(f"{RUN.run}-x", given)
    assert (told.folder, told.request, told.redrive) == (RUN, ASKED, False)


def test_a_run_is_stopped_and_reported_once(executions: MemoryExecutions) -> None:
    name = stop(RUN, executions).name
    assert stop(RUN, executions).name == name
    assert names(executions) == {RUN.run: "ABORTED", f"{RUN.run}-x": "RUNNING"}
    assert executions.held[name].request == {
        "stop": RUN.run,
        "request": ASKED,
        "failure": {"Error": STOPPED},
    }


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_what_has_ended_by_itself_is_not_stopped(executions: MemoryExecutions, status: str) -> None:
    executions.ended(RUN.run, status)
    with pytest.raises(Conflict, match="got one that has ended"):
        stop(RUN, executions)
    assert names(executions) == {RUN.run: status}


def test_redrives_are_numbered_and_two_at_once_are_one(executions: MemoryExecutions) -> None:
    executions.ended(RUN.run, "FAILED")
    assert redrive(RUN, executions).name == f"{RUN.run}-r1"
    # another who saw the failure too
    assert executions.start(f"{RUN.run}-r1", {"redrive": RUN.run, "request": ASKED})
    with pytest.raises(Conflict, match="got one that is running"):
        redrive(RUN, executions)
    executions.ended(f"{RUN.run}-r1", "TIMED_OUT")
    assert redrive(RUN, executions).name == f"{RUN.run}-r2"
    last = last_execution(RUN, executions)
    assert last is not None and last.name == f"{RUN.run}-r2"
    assert last.request == {"redrive": RUN.run, "request": ASKED}


def test_a_redrive_is_stopped_and_redriven_like_a_run(executions: MemoryExecutions) -> None:
    executions.ended(RUN.run, "FAILED")
    redrive(RUN, executions)
    stopping = stop(RUN, executions).name
    assert stopping == f"{RUN.run}-r1-x"
    with pytest.raises(Conflict, match="got one that is running"):
        redrive(RUN, executions)  # its report is being written
    executions.ended(stopping, "SUCCEEDED")
    assert redrive(RUN, executions).name == f"{RUN.run}-r2"


def test_what_has_succeeded_is_not_redriven(executions: MemoryExecutions) -> None:
    executions.ended(RUN.run, "SUCCEEDED")
    with pytest.raises(Conflict, match="got one that has succeeded"):
        redrive(RUN, executions)


@pytest.mark.parametrize(
    "folder",
    [RunPaths("tiny", "none"), RunPaths("other", RUN.run), RunPaths("tiny", f"{RUN.run}-r1")],
)
def test_what_is_no_run_is_neither_stopped_nor_redriven(
    executions: MemoryExecutions, folder: RunPaths
) -> None:
    executions.ended(RUN.run, "FAILED")
    redrive(RUN, executions)
    for act in (stop, redrive):
        with pytest.raises(NotFound):
            act(folder, executions)


def test_a_name_has_room_for_its_redrives() -> None:
    longest = f"{'m' * 24}-{'s' * 24}-{'0' * 24}"
    assert len(f"{longest}-r99-x") <= 80


def planned(bench: Bench) -> Plan:
    plan = bench.plan("tiny/a.csv", csv_bytes(ROWS), 150)
    assert isinstance(plan, Plan)
    assert plan.units > 4
    return plan


def test_a_redrive_scores_what_has_failed_or_is_missing_and_comes_to_the_same() -> None:
    whole = Bench()
    plan = planned(whole)
    whole.score(plan)
    report_run(plan.folder, store=whole.store, cells=whole.cells, clock=clock)

    bench = Bench()
    plan = planned(bench)
    results = bench.score(plan)
    objects = bench.store.objects
    # one unit was never begun, one died before its result, one has failed
    for unit in (1, 2, 3):
        del objects[plan.folder.result(unit)]
    del objects[plan.folder.scores(1, "parquet")]
    failed = {"status": "failed", "reason": "gone", "scored": 0, "quarantined": 0}
    objects[plan.folder.result(3)] = orjson.dumps({**results[3], **failed})
    assert reported(bench, plan)["status"] == "failed"

    key, left = plan_redrive(plan, f"{plan.run}-r1", bench.store)
    units: list[dict[str, Any]] = orjson.loads(objects[key])
    assert (left, [unit["unit"] for unit in units]) == (3, [1, 2, 3])
    assert units == orjson.loads(objects[plan.units_key])[1:4]
    bench.score(plan)  # those that are done are not scored again
    assert reported(bench, plan)["status"] == "succeeded"
    del objects[key]
    assert objects == whole.store.objects
    assert plan_redrive(plan, f"{plan.run}-r2", bench.store)[1] == 0


def test_a_run_that_was_stopped_says_so_and_has_no_manifest() -> None:
    bench = Bench()
    plan = planned(bench)
    units = bench.units(plan)
    bench.score(plan)
    for unit in (0, 1):
        del bench.store.objects[plan.folder.result(unit)]
    found = report_run(
        plan.folder, store=bench.store, cells=bench.cells, clock=clock, failure=STOPPED
    )
    lost = units[0].rows + units[1].rows
    assert (found["status"], found["cause"]) == (
        "stopped",
        f"The run was stopped; 2 of {plan.units} units and {lost} rows have no result.",
    )
    assert found["counts"]["scored"] + found["counts"]["quarantined"] == 50 - lost
    assert bench.store.get(plan.folder.manifest) is None
    early = report_run(RUN, store=bench.store, cells=bench.cells, clock=clock, failure=STOPPED)
    assert early["status"] == "stopped"


def test_a_refused_run_is_planned_anew_by_a_redrive_alone() -> None:
    bench = Bench()
    bench.inbox.put("inbox", "tiny/a.csv", csv_bytes(ROWS))
    request = request_from(ASKED, run=RUN.run, started="2026-11-20T08:00:00.000Z")
    known = dict(bench.catalog.models)
    bench.catalog.models.clear()  # the file came before its model

    def plan(again: bool) -> bool:
        made = plan_run(
            request,
            catalog=bench.catalog,
            inbox=bench.inbox,
            store=bench.store,
            cells=bench.cells,
            unit_bytes=300,
            again=again,
        )
        return isinstance(made, Plan)

    assert not plan(again=False)
    bench.catalog.models.update(known)
    assert [plan(again) for again in (False, True, False)] == [False, True, True]


def test_a_planner_that_was_slower_than_a_redrive_takes_its_plan() -> None:
    """A run that is stopped while it is planned, and redriven: the first planner still works."""
    bench = Bench()
    bench.inbox.put("inbox", "tiny/a.csv", csv_bytes(ROWS))

    def plan(inbox: Any, hour: int) -> Any:
        request = request_from(ASKED, run=RUN.run, started=f"2026-11-20T{hour:02}:00:00.000Z")
        given: dict[str, Any] = {"inbox": inbox, "store": bench.store, "cells": bench.cells}
        return plan_run(request, catalog=bench.catalog, unit_bytes=300, **given)

    class Slow:
        """An input bucket that the redrive is planned from meanwhile."""

        def __getattr__(self, name: str) -> Any:
            plan(bench.inbox, 9)
            return getattr(bench.inbox, name)

    assert plan(Slow(), 8).started == "2026-11-20T09:00:00.000Z"
    assert plan_from(bench.store.objects[RUN.plan]) == plan(bench.inbox, 10)


def test_planners_of_a_run_leave_each_others_documents_alone() -> None:
    """A file comes between their listings, and one stores its plan while the other still writes."""
    bench = Bench()
    bench.inbox.put("inbox", "_data/a.csv", csv_bytes(ROWS))
    asked = {"bucket": "inbox", "model": "tiny", "prefix": "_data/"}
    request = request_from(asked, run=RUN.run, started="2026-11-20T08:00:00.000Z")

    def plan(store: Any) -> Any:
        given: dict[str, Any] = {"inbox": bench.inbox, "store": store, "cells": bench.cells}
        return plan_run(request, catalog=bench.catalog, unit_bytes=300, **given)

    class Slow:
        """A store of the first planner's, which the second overtakes before the first write."""

        def put(self, key: str, body: bytes) -> None:
            bench.inbox.put("inbox", "_data/b.csv", csv_bytes(ROWS))
            plan(bench.store)
            bench.store.put(key, body)

    found = plan(Slow())
    assert found == plan(bench.store)
    assert len(sources_from(bench.store.get(found.inputs_key))) == found.files == 2
    units = bench.units(found)
    assert (len(units), sum(unit.rows for unit in units)) == (found.units, found.rows)


def test_a_run_of_a_version_withdrawn_since_is_not_redriven() -> None:
    bench = Bench()
    bench.inbox.put("inbox", "tiny/a.csv", csv_bytes(ROWS))
    request = request_from(ASKED, run=RUN.run, started="2026-11-20T08:00:00.000Z")
    options: dict[str, Any] = {"inbox": bench.inbox, "store": bench.store, "unit_bytes": 300}
    options["cells"] = bench.cells
    planned = plan_run(request, catalog=bench.catalog, **options)
    assert isinstance(planned, Plan)
    # the run itself goes on with what it pinned
    assert plan_run(request, catalog=MemoryCatalog(), **options) == planned
    with pytest.raises(NotFound):
        plan_run(request, catalog=MemoryCatalog(), again=True, **options)
