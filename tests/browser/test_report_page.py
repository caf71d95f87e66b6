"""A run's page as a browser lays it out. Run by `make test-browser`; it needs Chromium."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.kits.batch import CONTRACT, Bench, csv_bytes, row
from tests.kits.browser import laid_out

from quintet.batch.page import page
from quintet.batch.plans import Plan
from quintet.batch.reports import report_run
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.samples import Reference

pytestmark = pytest.mark.browser

MEASURES = """
  cards: [...document.querySelectorAll('.card')].map(e => e.innerText.replace(/\\s+/g, ' ')),
  bars: document.querySelectorAll('svg rect').length,
  colors: ['.badge', 'body'].map(e => getComputedStyle(document.querySelector(e)).color),
"""


@pytest.mark.parametrize("width", [1280, 600])
def test_a_report_fits_its_window_and_asks_for_nothing(tmp_path: Path, width: int) -> None:
    bench = Bench()
    before = {name: [row(number)[name] for number in range(50)] for name in ("amount", "country")}
    bench.baseline = baseline_of(CONTRACT, before)
    rows = [row(number, country="xx" if number % 10 == 7 else "de") for number in range(50)]
    plan = bench.plan("tiny/a.csv", csv_bytes(rows), 300)
    assert isinstance(plan, Plan)
    bench.score(plan)
    report_run(
        plan.folder,
        store=bench.store,
        cells=bench.cells,
        clock=lambda: datetime(2026, 11, 20, tzinfo=UTC),
        reference=lambda plan: Reference(CONTRACT, bench.baseline),
        memory_mb=1769,
    )
    report = json.loads(bench.store.objects[plan.folder.report])
    found = laid_out(bench.store.objects[plan.folder.page], tmp_path, width, MEASURES)
    counts = report["counts"]
    assert found["width"] == width
    assert (found["over"], found["sideways"], found["requests"]) == (0, 0, 0)
    assert found["cards"][:3] == [
        f"{counts['rows']} rows in",
        f"{counts['scored']} scored",
        f"{counts['quarantined']} quarantined",
    ]
    bins = sum(len(feature["bins"]) for feature in report["drift"]["features"])
    assert found["bars"] == len(report["histogram"]["counts"]) + 2 * bins
    assert len(set(found["colors"])) == 2  # the badge stands out: the style was read


@pytest.mark.parametrize("width", [1200, 600, 360])
def test_large_numbers_are_whole(tmp_path: Path, width: int) -> None:
    """A number that is wider than its card would be cut, or run into the next one."""
    bench = Bench()
    plan = bench.plan("tiny/a.csv", csv_bytes([row(number) for number in range(9)]), 300)
    assert isinstance(plan, Plan)
    bench.score(plan)
    ended = datetime(2026, 11, 20, tzinfo=UTC)
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=lambda: ended)
    report = json.loads(bench.store.objects[plan.folder.report])
    most = dict.fromkeys(report["counts"], 10_000_000)
    measures = """
  inside: [...document.querySelectorAll('.card b')].every(e => e.scrollWidth <= e.clientWidth),
  cards: [...document.querySelectorAll('.card b')].map(e => e.innerText),
"""
    found = laid_out(page({**report, "counts": most}), tmp_path, width, measures)
    assert found["inside"] and found["cards"][:3] == ["10,000,000"] * 3
    assert (found["over"], found["sideways"]) == (0, 0)
