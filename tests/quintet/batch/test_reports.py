"""A report counts what is stored, and a run that does not add up has failed, loudly."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from tests.kits.batch import (
    BUCKET,
    CONTRACT,
    KINDS,
    Bench,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
)

from quintet.batch import reports
from quintet.batch.executions import STOPPED
from quintet.batch.page import page
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan, RunPaths
from quintet.batch.reports import report_run
from quintet.batch.stores import MemoryConditionalObjects, MemoryObjectStore
from quintet.contract import Limits, Output
from quintet.errors import Transient
from quintet.monitoring.histograms import Histogram, merged, watched
from quintet.monitoring.samples import Sample

ROWS = [
    row(number, country="xx" if number % 10 == 7 else "de", amount=number if number < 49 else "?")
    for number in range(50)
]


def clock() -> datetime:
    return datetime(2026, 11, 20, 8, 0, 20, tzinfo=UTC)


def finished(unit_bytes: int = 300) -> tuple[Bench, Plan]:
    bench = Bench()
    plan = bench.plan("tiny/a.csv", csv_bytes(ROWS), unit_bytes)
    assert isinstance(plan, Plan)
    bench.score(plan)
    return bench, plan


def test_a_run_that_adds_up_succeeds_and_commits_last() -> None:
    bench, plan = finished()
    folder = plan.folder
    summary = report_run(folder, store=bench.store, cells=bench.cells, clock=clock)
    counts = {"rows": 50, "scored": 44, "quarantined": 6, "fallback": 0, "unaccounted": 0}
    assert summary == {
        "run": plan.run,
        "model": "tiny",
        "status": "succeeded",
        "cause": "",
        "report": folder.report,
        "page": folder.page,
        "counts": counts,
        "finished": "2026-11-20T08:00:20.000+00:00",
        "seconds": 20.0,
        "drift": {"compared": 0, "moved": 0},
    }
    assert list(bench.store.objects)[-3:] == [folder.report, folder.page, folder.manifest]
    report = orjson.loads(bench.store.objects[folder.report])
    assert report["reasons"] == [
        {
            "field": "country",
            "expected": "one of de, fr",
            "rows": 5,
            "examples": [{"row": n, "got": "'xx'"} for n in (7, 17, 27)],
        },
        {
            "field": "amount",
            "expected": "a number (float32)",
            "rows": 1,
            "examples": [{"row": 49, "got": "'?'"}],
        },
    ]
    assert report["units"]["planned"] == report["units"]["done"] == plan.units
    assert (report["seconds"], report["version"], report["digest"]) == (20.0, 3, "d" * 64)
    assert sum(report["histogram"]["counts"]) == 44


def test_the_manifest_names_every_file_by_its_hash() -> None:
    bench, plan = finished()
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    manifest = orjson.loads(bench.store.objects[plan.folder.manifest])
    stored = bench.store.keys(f"{plan.folder.root}scores/") + bench.store.keys(
        f"{plan.folder.root}quarantine/"
    )
    assert sorted(file["key"] for file in manifest["files"]) == sorted(stored)
    assert (manifest["rows"], manifest["scored"], manifest["quarantined"]) == (50, 44, 6)
    assert manifest["input"]["version_id"] == "v1"
    # no time but the run's start is in it: the same run has the same manifest
    other, again = finished()
    report_run(again.folder, store=other.store, cells=other.cells, clock=lambda: datetime.now(UTC))
    key = plan.folder.manifest
    assert other.store.objects[key] == bench.store.objects[key]


def test_a_run_reported_again_changes_nothing() -> None:
    bench, plan = finished()
    first = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    before = dict(bench.store.objects)
    assert (
        report_run(
            plan.folder, store=bench.store, cells=bench.cells, clock=lambda: datetime.now(UTC)
        )
        == first
    )
    assert bench.store.objects == before


def test_a_unit_without_a_result_fails_the_run() -> None:
    bench, plan = finished()
    units = bench.units(plan)
    del bench.store.objects[plan.folder.result(2)]
    summary = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    reason = "no result was written: it was not begun, or was stopped"
    assert summary["status"] == "failed"
    assert summary["cause"] == (
        f"1 of {plan.units} units failed; {units[2].rows} rows have no result. "
        f"First, unit 2: {reason}"
    )
    report = orjson.loads(bench.store.objects[plan.folder.report])
    assert report["counts"]["unaccounted"] == units[2].rows
    assert report["units"]["failed"] == [
        {"unit": 2, "first_row": units[2].first_row, "rows": units[2].rows, "reason": reason}
    ]
    assert plan.folder.manifest not in bench.store.objects


def test_counts_that_do_not_add_up_fail_the_run() -> None:
    bench, plan = finished()
    key = plan.folder.result(1)
    result = orjson.loads(bench.store.objects[key])
    bench.store.objects[key] = orjson.dumps({**result, "scored": result["scored"] - 1})
    summary = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    assert summary["status"] == "failed"
    rows = result["rows"]
    assert (
        f"unit 1: {rows - 1} rows scored or quarantined of the {rows} planned" in summary["cause"]
    )
    assert plan.folder.manifest not in bench.store.objects


def test_a_run_ended_by_an_error_is_counted_and_named() -> None:
    bench, plan = finished()
    summary = report_run(
        plan.folder,
        store=bench.store,
        cells=bench.cells,
        clock=clock,
        failure="States.DataLimitExceeded",
    )
    assert (summary["status"], summary["cause"]) == (
        "failed",
        "The run was ended by an error (States.DataLimitExceeded).",
    )


def test_a_refused_run_says_why() -> None:
    bench = Bench()
    plan = bench.plan("tiny/a.csv", b"customer,rate\n1,2\n")
    summary = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    lacks = "expected a column of that name, got no such column"
    assert summary["status"] == "refused"
    assert summary["cause"] == f"amount: {lacks}; country: {lacks}; visits: {lacks}"
    text = bench.store.objects[plan.folder.page].decode()
    assert "refused" in text and f"country: {lacks}" in text
    assert plan.folder.manifest not in bench.store.objects


def test_a_run_that_could_not_be_planned_has_a_report() -> None:
    store = MemoryObjectStore()
    cells = MemoryConditionalObjects(store.objects)
    folder = RunPaths("tiny", "tiny-run")
    summary = report_run(folder, store=store, cells=cells, clock=clock, failure="Lambda.Unknown")
    assert summary == {
        "run": "tiny-run",
        "model": "tiny",
        "status": "failed",
        "cause": "The run could not be planned (Lambda.Unknown).",
        "report": folder.report,
        "page": folder.page,
        "finished": "2026-11-20T08:00:20.000+00:00",
        "seconds": None,
        "drift": {"compared": 0, "moved": 0},
        "counts": {"rows": 0, "scored": 0, "quarantined": 0, "fallback": 0, "unaccounted": 0},
    }
    assert store.keys(folder.root) == [folder.page, folder.report]


def test_a_run_without_rows_succeeds() -> None:
    bench = Bench()
    plan = bench.plan("tiny/a.csv", b"customer,amount,visits,country\n")
    summary = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    assert summary["status"] == "succeeded"
    assert plan.folder.manifest in bench.store.objects


def test_the_page_loads_nothing_and_escapes_what_files_hold() -> None:
    bench, plan = finished()
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    report = orjson.loads(bench.store.objects[plan.folder.report])
    example = report["reasons"][0]["examples"][0]
    example |= {"got": "<script>alert(1)</script>", "file": "data/<i>.csv"}
    report["input"]["key"] = "tiny/<img>.csv"
    text = page(report).decode()
    assert "<script" not in text and "<img" not in text
    assert not re.search(r"src\s*=|href\s*=|url\(|@import", text)
    assert "44" in text and "succeeded" in text and "data/&lt;i&gt;.csv row " in text


def shown(failure: str | None = None, **changes: Any) -> str:
    """The page of a run, some of its report changed, without tags."""
    bench, plan = finished()
    report_run(
        plan.folder,
        store=bench.store,
        cells=bench.cells,
        clock=clock,
        failure=failure,
        memory_mb=1769,
    )
    report = orjson.loads(bench.store.objects[plan.folder.report])
    return re.sub(r"<[^>]+>", " ", page({**report, **changes}).decode())


def test_the_page_says_what_it_leaves_out_and_what_to_do_with_refused_rows() -> None:
    bench, plan = finished()
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    units = orjson.loads(bench.store.objects[plan.folder.report])["units"]
    units["failed"] = [
        {"unit": unit, "first_row": 0, "rows": 1, "reason": f"reason {unit}."}
        for unit in range(120)
    ]
    text = shown(units=units)
    assert "reason 49." in text and "reason 50." not in text
    assert "and 70 more" in text and "all are in report.json" in text
    assert plan.folder.quarantines in text
    assert f"quintet dlq show tiny/{plan.run}" in text
    assert text.index("Why rows were refused") < text.index("Lineage")


def test_the_page_tells_all_that_a_report_is_asked_for() -> None:
    features = {"key": "_features/tiny/", "etag": "f" * 64}
    cost = {"usd": 1.5, "parts": {"lambda": 1.25, "step_functions": 0.25}, "prices": "of a year"}
    text = shown(features=features, cost=cost)
    for expected in (
        *("succeeded", "rows in", "scored", "quarantined", "from start to report"),
        *("Scores: score", "Why rows were refused", " done", "slowest", "$1.5000"),
        *("input version", "model digest", "contract digest", "code version", "started"),
        "lambda $1.2500, step functions $0.2500, of a year",
        f"as of the partition, by _features/tiny/ (history.json), SHA-256 {'f' * 64}",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("failure", "word"), [(STOPPED, "Stopped"), ("States.DataLimitExceeded", "Failed")]
)
def test_the_page_of_a_run_that_has_not_succeeded_says_why(failure: str, word: str) -> None:
    text = shown(failure)
    assert word in text.split() and word.lower() in text.split()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.1, 0.9], (0.0, 1.0, 3)),
        ([5.0, 5.0], (5.0, 5.0, 2)),
        ([-3.0, 10.0], (-3.0, 10.0, 2)),
        ([], (0.0, 1.0, 0)),
    ],
)
def test_histograms_count_every_row(
    values: list[float], expected: tuple[float, float, int]
) -> None:
    histogram = Histogram(Output(name="s", dtype="float32", shape=(-1,), meaning="value"))
    histogram.add(np.array(values, dtype=np.float32))
    found = histogram.document()
    assert (found["low"], found["high"], sum(found["counts"])) == expected


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [600_000.0]),
        ("float32", [600_000.0] * 3),
        ("float32", [600_000.0, 600_000.06]),
        ("float32", [16_777_216.0, 16_777_218.0]),
        ("float32", [3e38, -3e38, 3e38]),
        ("float32", [0.0, 1e-45]),
        ("float64", [1e15, 1e15 + 0.125]),
        ("float64", [1.7e308, -1.7e308, 1.7e308, 1.7e308]),
        ("float64", [5e-324, 1e-323]),
        ("int64", [2**62, 2**62 + 1]),
        ("bool", [True, False]),
    ],
)
def test_scores_that_are_alike_or_extreme_have_a_histogram(dtype: Any, values: list[float]) -> None:
    histogram = Histogram(Output(name="s", dtype=dtype, shape=(-1,), meaning="value"))
    histogram.add(np.array(values, dtype=dtype))
    found = orjson.loads(orjson.dumps(histogram.document()))
    assert sum(found["counts"]) == len(values)
    both = merged([found, {**found, "low": -1e300, "high": 1e300}])
    assert both is not None and sum(both["counts"]) == 2 * len(values)
    assert "Scores: s" in shown(histogram=orjson.loads(orjson.dumps(both)))


@pytest.mark.parametrize("name", ["merged", "_drift", "estimate", "page"])
def test_what_a_report_cannot_compute_is_a_note(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(reports, name)

    def broken(*args: Any, **named: Any) -> Any:
        if name == "page" and args[0]["histogram"] is None:
            return real(*args)
        raise ValueError("Too many bins")

    bench, plan = finished()
    monkeypatch.setattr(reports, name, broken)
    summary = report_run(
        plan.folder, store=bench.store, cells=bench.cells, clock=clock, memory_mb=1769
    )
    assert (summary["status"], summary["counts"]["scored"]) == ("succeeded", 44)
    (note,) = orjson.loads(bench.store.objects[plan.folder.report])["notes"]
    assert note.endswith(" could not be computed (ValueError).")


@pytest.mark.parametrize("method", ["add", "document"])
@pytest.mark.parametrize("kind", [Histogram, Sample])
def test_statistics_of_rows_fail_no_unit(
    kind: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise OverflowError

    monkeypatch.setattr(kind, method, broken)
    bench, plan = finished()
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    report = orjson.loads(bench.store.objects[plan.folder.report])
    assert (report["status"], report["counts"]["scored"]) == ("succeeded", 44)
    what = "The histogram of the scores" if kind is Histogram else "Drift"
    assert report["notes"] == [f"{what} could not be computed (OverflowError)."]


@pytest.mark.parametrize("meaning", ["score", "value"])
def test_outputs_of_text_have_no_histogram_of_numbers(meaning: Any) -> None:
    text = Output(name="words", dtype="string", shape=(-1,), meaning=meaning)
    assert watched(dataclasses.replace(CONTRACT, outputs=(text,))) is None


def test_histograms_of_units_are_merged_whole() -> None:
    head: dict[str, Any] = {"output": "s", "meaning": "value"}
    parts = [
        {**head, "low": 0.0, "high": 1.0, "counts": [1] * 40, "sum": 20.0},
        {**head, "low": -10.0, "high": 10.0, "counts": [0] * 39 + [5], "sum": 50.0},
        {**head, "low": 0.0, "high": 1.0, "counts": [0] * 40, "sum": 0.0},
    ]
    total = merged(parts)
    assert total is not None
    assert (total["low"], total["high"], sum(total["counts"]), total["sum"]) == (-10, 10, 45, 70)
    labels = {"output": "l", "meaning": "label"}
    assert merged([{**labels, "classes": {"a": 1}}, {**labels, "classes": {"b": 5, "a": 1}}]) == {
        **labels,
        "classes": {"b": 5, "a": 2},
    }
    assert merged([]) is None


def test_the_watched_output_is_the_score() -> None:
    found = watched(CONTRACT)
    assert found is not None and found.name == "score"


def test_a_run_that_was_left_early_says_so() -> None:
    bench, plan = finished()
    for unit in range(1, plan.units):
        del bench.store.objects[plan.folder.result(unit)]
    failure = "States.ExceedToleratedFailureThreshold"
    summary = report_run(
        plan.folder, store=bench.store, cells=bench.cells, clock=clock, failure=failure
    )
    assert summary["status"] == "failed"
    left = f"{plan.units - 1} of {plan.units} units failed"
    assert summary["cause"].startswith(f"Too many units failed, so the rest was left. {left}")


def verdict_on(body: bytes, key: str = "tiny/a.csv", most: float = 1.0) -> dict[str, Any]:
    """The report of a run of a model with that `max_refused`."""
    contract = dataclasses.replace(CONTRACT, limits=Limits(max_refused=most))
    bench = Bench(MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, contract)))
    plan = bench.plan(key, body, 300)
    bench.score(plan)
    summary = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    report: dict[str, Any] = orjson.loads(bench.store.objects[plan.folder.report])
    assert summary["status"] == report["status"]
    assert (plan.folder.manifest in bench.store.objects) == (report["status"] == "succeeded")
    return report


@pytest.mark.parametrize(
    ("most", "refused", "status"),
    [
        (1.0, 20, "refused"),
        (1.0, 19, "succeeded"),
        (0.2, 5, "refused"),
        (0.2, 4, "succeeded"),
        (0.0, 1, "refused"),
        (0.0, 0, "succeeded"),
    ],
)
def test_a_run_with_too_many_refused_rows_is_refused(
    most: float, refused: int, status: str
) -> None:
    rows = [row(n, country="xx" if n < refused else "de") for n in range(20)]
    report = verdict_on(csv_bytes(rows), most=most)
    limit = "" if refused == 20 else f", more than the model's max_refused ({most:g})"
    reason = "Most often, country: expected one of de, fr, got 'xx'."
    cause = f"{refused} of 20 rows were refused{limit}. {reason}"
    assert (report["status"], report["cause"]) == (status, cause if status == "refused" else "")
    assert report["counts"]["scored"] == 20 - refused


def test_a_run_without_rows_is_not_refused() -> None:
    assert (
        verdict_on(csv_bytes(ROWS[:1]).splitlines()[0] + b"\n", most=0.0)["status"] == "succeeded"
    )


@pytest.mark.parametrize("text", ["1,5", "-12,25", "1.234,5"])
def test_decimal_commas_are_hinted_at(text: str) -> None:
    rows = [row(n, amount=text) for n in range(9)]
    body = (
        csv_bytes(rows)
        .decode()
        .replace('"', "")
        .replace(",", ";")
        .replace(text.replace(",", ";"), text)
    )
    report = verdict_on(body.encode())
    assert report["status"] == "refused"
    assert report["cause"].endswith(
        f"got '{text}'; write numbers like 1234.5, or say `decimal: \",\"` in model.yaml "
        "if 1.234,5 is meant."
    )


def renamed(name: str) -> list[dict[str, Any]]:
    return [{name if k == "rate" else k: v for k, v in one.items()} for one in ROWS[:9]]


@pytest.mark.parametrize(
    ("key", "body", "near"),
    [
        ("tiny/a.csv", csv_bytes(renamed("Rate")), "Rate"),
        ("tiny/a.csv", csv_bytes(renamed("ra_te")), "ra_te"),
        ("tiny/a.csv", csv_bytes(renamed("other")), None),
        ("tiny/a.csv", csv_bytes([{**one, "rate": ""} for one in ROWS[:9]]), None),
        ("tiny/a.jsonl", jsonl_bytes(renamed("RATE")), "RATE"),
        ("tiny/a.jsonl", jsonl_bytes([{**one, "rate": None} for one in ROWS[:9]]), None),
        ("tiny/a.parquet", parquet_bytes([{**one, "rate": None} for one in ROWS[:9]], 4), None),
        (
            "tiny/a.parquet",
            parquet_bytes(
                renamed("Rate"), 4, {n.replace("rate", "Rate"): k for n, k in KINDS.items()}
            ),
            "Rate",
        ),
    ],
)
def test_a_feature_that_no_row_has_is_told_with_near_names(
    key: str, body: bytes, near: str | None
) -> None:
    notes = [n for n in verdict_on(body, key)["notes"] if n.startswith("rate ")]
    hint = f" Is it {near!r}, which is there?" if near else ""
    assert notes == [
        "rate was defaulted for all 9 rows of the file, as none has a value for it: "
        f"they were scored with 0.5.{hint}"
    ]


def test_a_feature_that_one_row_has_is_not_told() -> None:
    rows = [{**one, "rate": ""} for one in ROWS[:9]]
    rows[8]["rate"] = 0.25
    assert verdict_on(csv_bytes(rows))["notes"] == []


def test_files_that_lack_a_feature_are_told_of_those_that_have_it() -> None:
    bench = Bench()
    bench.inbox.put(BUCKET, "data/a.csv", csv_bytes(ROWS[:9]))
    for name in "bc":
        bench.inbox.put(BUCKET, f"data/{name}.csv", csv_bytes(renamed("rate_")))
    # a folder says the feature of its files
    without = [{k: v for k, v in one.items() if k != "rate"} for one in ROWS[:9]]
    bench.inbox.put(BUCKET, "data/rate=0.75/d.csv", csv_bytes(without))
    plan = bench.plan_many(300, prefix="data/")
    bench.score(plan)
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
    notes = orjson.loads(bench.store.objects[plan.folder.report])["notes"]
    assert notes[-1] == (
        "rate was defaulted for all 18 rows of 2 of 4 files (first data/b.csv), as none has a "
        "value for it: they were scored with 0.5. Is it 'rate_', which is there?"
    )


def test_a_report_that_wakes_late_replaces_none_of_a_redrive() -> None:
    """It counted before the last unit was done, and writes after the run has succeeded."""
    bench, plan = finished()
    last = plan.folder.result(plan.units - 1)
    done = bench.store.objects.pop(last)

    class Slow(MemoryObjectStore):
        def get(self, key: str) -> bytes | None:
            found = super().get(key)
            if key == last:  # from here on it sleeps
                bench.store.objects[last] = done
                again = report_run(plan.folder, store=bench.store, cells=bench.cells, clock=clock)
                assert again["status"] == "succeeded"
            return found

    slow = Slow()
    slow.objects = bench.store.objects
    with pytest.raises(Transient, match="another report"):
        report_run(plan.folder, store=slow, cells=bench.cells, clock=clock)
    assert orjson.loads(bench.store.objects[plan.folder.report])["status"] == "succeeded"
    assert plan.folder.manifest in bench.store.objects
