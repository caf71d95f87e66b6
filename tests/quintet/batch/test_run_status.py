"""The document of a run at each stage, who may read it, and a page of a model's runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.quintet.batch.test_plans import PLAN, REFUSED

from quintet.batch.executions import MemoryExecutions
from quintet.batch.plans import Plan, RefusedPlan, RunPaths, dump
from quintet.batch.run_status import RunPage, newest, show
from quintet.batch.stores import MemoryObjectStore
from quintet.errors import NotFound

ASKED = {"bucket": "inbox", "key": "tiny/a.csv", "version_id": "v1"}
REPORT = {
    "version": 3,
    "status": "succeeded",
    "cause": "",
    "started": PLAN.started,
    "finished": "2026-12-01T08:05:00Z",
    "input": {**ASKED, "etag": "e"},
    "counts": {"rows": 9, "refused": 1},
    "units": {"planned": 2, "done": 2, "failed": []},
    "drift": None,
}
STARTING = {
    "run": "tiny-a-0123",
    "model": "tiny",
    "version": None,
    "status": "starting",
    "cause": "",
    "started": None,
    "finished": None,
    "input": None,
    "counts": None,
    "units": None,
}
PLANNED = {
    **STARTING,
    "version": 3,
    "status": "running",
    "started": PLAN.started,
    "input": ASKED,
    "counts": {"rows": 9},
    "units": {"planned": 2, "done": None},
}
REPORTED = {
    **PLANNED,
    "status": "succeeded",
    "finished": "2026-12-01T08:05:00Z",
    "counts": {"rows": 9, "refused": 1},
    "units": {"planned": 2, "done": 2},
}


class Shelf(MemoryObjectStore):
    """A store in memory whose folders can be listed."""

    def folders(self, prefix: str) -> list[str]:
        found = {key[len(prefix) :].partition("/")[0] for key in self.keys(prefix)}
        return sorted(found)

    def add(self, plan: Plan | RefusedPlan, report: dict[str, Any] | None = None) -> None:
        self.put(plan.folder.plan, dump(plan))
        if report is not None:
            self.put(plan.folder.report, dump(report))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def executions() -> MemoryExecutions:
    held = MemoryExecutions()
    held.start(PLAN.run, {**ASKED, "owner": "ann"})
    return held


def refused(error: pytest.ExceptionInfo[NotFound]) -> str:
    return str(error.value)


def test_a_run_starts_is_planned_and_scored_unit_by_unit(
    shelf: Shelf, executions: MemoryExecutions
) -> None:
    assert show(PLAN.folder, shelf, executions) == STARTING
    shelf.add(PLAN)
    assert show(PLAN.folder, shelf, executions) == {**PLANNED, "units": {"planned": 2, "done": 0}}
    shelf.put(PLAN.folder.result(1), b"{}")
    assert show(PLAN.folder, shelf, executions)["units"] == {"planned": 2, "done": 1}


def test_a_run_is_told_by_its_report_once_it_has_ended(
    shelf: Shelf, executions: MemoryExecutions
) -> None:
    """Until then the manifest and the pointer of the table may be missing."""
    shelf.add(PLAN, REPORT)
    assert show(PLAN.folder, shelf, executions)["status"] == "running"
    executions.ended(PLAN.run, "SUCCEEDED")
    assert show(PLAN.folder, shelf, executions) == REPORTED
    assert show(PLAN.folder, shelf, MemoryExecutions()) == REPORTED


@pytest.mark.parametrize(
    ("ended", "status"), [("ABORTED", "stopped"), ("FAILED", "failed"), ("TIMED_OUT", "failed")]
)
def test_a_run_that_ended_without_a_report_has_its_cause(
    shelf: Shelf, executions: MemoryExecutions, ended: str, status: str
) -> None:
    shelf.add(PLAN)
    executions.ended(PLAN.run, ended, "out of memory")
    assert show(PLAN.folder, shelf, executions) == {
        **PLANNED,
        "units": {"planned": 2, "done": 0},
        "status": status,
        "cause": "out of memory",
    }


def test_a_run_is_found_by_its_plan_alone(shelf: Shelf) -> None:
    """Executions are forgotten after 90 days."""
    shelf.add(PLAN)
    assert show(PLAN.folder, shelf, MemoryExecutions())["status"] == "running"


def test_a_refused_run_is_running_until_its_report(
    shelf: Shelf, executions: MemoryExecutions
) -> None:
    shelf.add(REFUSED)
    assert show(PLAN.folder, shelf, executions) == {
        **STARTING,
        "status": "running",
        "started": REFUSED.started,
    }
    report = {name: REPORT[name] for name in ("status", "cause", "started", "finished", "counts")}
    shelf.add(REFUSED, {**report, "input": {"bucket": "inbox", "key": "tiny/a.csv"}})
    executions.ended(PLAN.run, "SUCCEEDED")
    assert show(PLAN.folder, shelf, executions) == {
        **REPORTED,
        "version": None,
        "input": {"bucket": "inbox", "key": "tiny/a.csv", "version_id": None},
        "units": None,
    }


def test_what_is_no_run_of_the_caller_is_not_found(
    shelf: Shelf, executions: MemoryExecutions
) -> None:
    text = "run: expected a run of tiny, got "
    with pytest.raises(NotFound) as error:
        show(RunPaths("tiny", "x" * 99), shelf, executions)
    assert refused(error) == f"{text}{'x' * 80!r}"
    shelf.add(replace(PLAN, owner="ann"))
    assert show(PLAN.folder, shelf, executions, "ann")["status"] == "running"
    with pytest.raises(NotFound) as error:
        show(PLAN.folder, shelf, executions, "bob")
    assert refused(error) == f"{text}'tiny-a-0123'"
    assert show(PLAN.folder, shelf, executions)["status"] == "running"


def test_before_its_plan_a_run_is_its_executions_owners(
    shelf: Shelf, executions: MemoryExecutions
) -> None:
    assert show(PLAN.folder, shelf, executions, "ann") == STARTING
    with pytest.raises(NotFound):
        show(PLAN.folder, shelf, executions, "bob")


def test_runs_of_the_stage_are_everyones(shelf: Shelf, executions: MemoryExecutions) -> None:
    shelf.add(PLAN)
    assert show(PLAN.folder, shelf, executions, "bob")["status"] == "running"


def started(run: str, hour: int, owner: str | None = None) -> Plan:
    return replace(PLAN, run=run, started=f"2026-12-01T0{hour}:00:00Z", owner=owner)


def told(page: RunPage) -> list[tuple[str, str]]:
    return [(run["run"], run["status"]) for run in page.runs]


def test_the_newest_runs_come_first_a_page_at_a_time(shelf: Shelf) -> None:
    for plan in (started("b", 1), started("c", 3), started("a", 3)):
        shelf.add(plan)
    shelf.add(started("d", 2), {**REPORT, "started": "2026-12-01T02:00:00Z"})
    shelf.put(RunPaths("tiny", "new").beat(1), b"")
    shelf.put(RunPaths("other", "e").plan, dump(PLAN))
    first = newest("tiny", shelf, 2)
    assert told(first) == [("new", "starting"), ("c", "running")]
    assert first.runs[0] == {**STARTING, "run": "new"}
    second = newest("tiny", shelf, 2, first.after)
    assert told(second) == [("a", "running"), ("d", "succeeded")]
    assert second.runs[0] == {**PLANNED, "run": "a", "started": "2026-12-01T03:00:00Z"}
    third = newest("tiny", shelf, 2, second.after)
    assert (told(third), third.after) == ([("b", "running")], None)
    assert newest("tiny", shelf, 5).after is None
    assert newest("nosuch", shelf, 5) == RunPage([], None)


def test_a_caller_sees_their_own_runs_and_those_of_the_stage(shelf: Shelf) -> None:
    for plan in (started("a", 1, "ann"), started("b", 2, "bob"), started("s", 3)):
        shelf.add(plan)
    shelf.put(RunPaths("tiny", "new").beat(1), b"")
    seen = {caller: told(newest("tiny", shelf, 9, caller=caller)) for caller in ("ann", None)}
    assert [run for run, _ in seen["ann"]] == ["s", "a"]
    assert [run for run, _ in seen[None]] == ["new", "s", "b", "a"]
