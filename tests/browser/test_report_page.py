"""A run's page as a browser lays it out. Run by `make test-browser`; it needs Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.kits.batch import CONTRACT, Bench, csv_bytes, row

from quintet.batch.plans import Plan
from quintet.batch.reports import report_run
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.samples import Reference

pytestmark = pytest.mark.browser

MEASURE = """<script>
const boxes = [...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect());
document.title = JSON.stringify({
  width: innerWidth,
  over: boxes.filter(b => b.right > innerWidth + 0.5).length,
  requests: performance.getEntriesByType('resource').length,
  cards: [...document.querySelectorAll('.card')].map(e => e.innerText.replace(/\\s+/g, ' ')),
  bars: document.querySelectorAll('svg rect').length,
  colors: ['.badge', 'body'].map(e => getComputedStyle(document.querySelector(e)).color),
});
</script></body>"""


def laid_out(page: bytes, folder: Path, width: int) -> dict[str, Any]:
    """What Chromium made of the page in a window of that width."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "install Chromium: apt-get install chromium"
    path = folder / f"page-{width}.html"
    path.write_bytes(page.replace(b"</body>", MEASURE.encode()))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1600"]
    done = subprocess.run(
        [chromium, *flags, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None
    found: dict[str, Any] = json.loads(title.group(1))
    return found


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
        clock=lambda: datetime(2026, 11, 20, tzinfo=UTC),
        reference=lambda plan: Reference(CONTRACT, bench.baseline),
        memory_mb=1769,
    )
    report = json.loads(bench.store.objects[plan.folder.report])
    found = laid_out(bench.store.objects[plan.folder.page], tmp_path, width)
    counts = report["counts"]
    assert found["width"] == width
    assert (found["over"], found["requests"]) == (0, 0)
    assert found["cards"][:3] == [
        f"{counts['rows']} rows in",
        f"{counts['scored']} scored",
        f"{counts['quarantined']} quarantined",
    ]
    bins = sum(len(feature["bins"]) for feature in report["drift"]["features"])
    assert found["bars"] == len(report["histogram"]["counts"]) + 2 * bins
    assert len(set(found["colors"])) == 2  # the badge stands out: the style was read
