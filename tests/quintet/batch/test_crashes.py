"""A unit whose invocation left no result gets one that says why, and which row group it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tests.kits.batch import BUCKET, CONTRACT, Bench, crashing_parquet, csv_bytes, row

from quintet.batch.crashes import crash_reason, note_crash
from quintet.batch.plans import Plan
from quintet.contract import Contract

ROWS = [row(number) for number in range(40)]
ABORTED = {
    "Error": "Runtime.ExitError",
    "Cause": '{"errorMessage":"RequestId: 1 Error: Runtime exited with error: signal: aborted"}',
}
TIMED_OUT = '{"errorMessage":"2026-11-20T08:00:00Z 8f5 Task timed out after 900.00 seconds"}'
KILLED = '{"errorMessage":"RequestId: 1 Error: Runtime exited with error: signal: killed"}'


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        ("Sandbox.Timedout", TIMED_OUT, "it timed out after 900 seconds"),
        ("Lambda.Unknown", TIMED_OUT, "it timed out after 900 seconds"),
        ("States.Timeout", "", "it timed out"),
        ("Runtime.ExitError", KILLED, "it ran out of memory: its process was killed"),
        ("Runtime.OutOfMemory", "", "it ran out of memory: its process was killed"),
        ("Runtime.ExitError", ABORTED["Cause"], "its process crashed (signal: aborted)"),
        (
            "Runtime.ExitError",
            "Runtime exited with error: exit status 3",
            "its process ended with exit status 3",
        ),
        ("KeyError", '{"errorMessage":"secret"}', "it was ended by the error KeyError"),
        ("", "", "it was ended by the error of no name"),
    ],
)
def test_the_reason_names_what_ended_it(error: str, cause: str, reason: str) -> None:
    assert crash_reason({"Error": error, "Cause": cause}) == reason


def noted(
    bench: Bench,
    plan: Any,
    failure: dict[str, str],
    unit: int = 0,
    contract: Callable[[], Contract] = lambda: CONTRACT,
) -> dict[str, Any]:
    assert isinstance(plan, Plan)
    result = note_crash(
        bench.units(plan)[unit],
        plan,
        failure,
        contract=contract,
        inbox=bench.inbox,
        store=bench.store,
        cells=bench.cells,
    )
    assert result == orjson.loads(bench.store.objects[plan.folder.result(unit)])
    return result


def test_the_row_group_that_crashes_the_reader_is_named() -> None:
    bench = Bench()
    plan = bench.plan("tiny/a.parquet", crashing_parquet(ROWS, 20))
    assert noted(bench, plan, ABORTED) == {
        "status": "failed",
        "reason": (
            "tiny/a.parquet: row group 1: the reader crashed (SIGABRT); the file is damaged there"
        ),
        "scored": 0,
        "quarantined": 0,
        "unit": 0,
        "first_row": 0,
        "rows": 40,
    }


def test_of_many_files_the_one_that_crashes_the_reader_is_named() -> None:
    bench = Bench()
    for name in ("a", "b"):
        body = crashing_parquet(ROWS, 20) if name == "b" else crashing_parquet(ROWS, 20, whole=True)
        bench.inbox.put(BUCKET, f"data/{name}.parquet", body)
    plan = bench.plan_many(prefix="data/")
    reason = noted(bench, plan, ABORTED)["reason"]
    assert reason.startswith("data/b.parquet: row group 1: the reader crashed (SIGABRT)")


@pytest.mark.parametrize("key", ["tiny/a.csv", "tiny/a.parquet"])
def test_a_crash_that_no_row_group_explains_is_told_as_it_was(key: str) -> None:
    bench = Bench()
    whole = csv_bytes(ROWS) if key.endswith("csv") else crashing_parquet(ROWS, 20, whole=True)
    plan = bench.plan(key, whole)
    assert noted(bench, plan, ABORTED)["reason"] == "its process crashed (signal: aborted)"


def test_a_result_that_was_written_stays() -> None:
    bench = Bench()
    plan = bench.plan("tiny/a.csv", csv_bytes(ROWS))
    (result,) = bench.score(plan)
    assert noted(bench, plan, ABORTED) == result


def test_a_result_that_is_written_while_a_crash_is_looked_into_stays() -> None:
    """An attempt that was given up goes on, and scores the unit."""
    bench = Bench()
    plan = bench.plan("tiny/a.csv", csv_bytes(ROWS))

    def contract() -> Contract:
        bench.score(plan)
        return CONTRACT

    assert noted(bench, plan, ABORTED, contract=contract)["status"] == "done"
