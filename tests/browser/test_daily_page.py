"""The page of a model's day as a browser lays it out. Run by `make test-browser`."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.kits.browser import laid_out

from quintet.contract import Contract, Feature, Output
from quintet.daily.page import page
from quintet.daily.verdict import judge
from quintet.monitoring.baseline import baseline_of, outputs_of, with_outputs
from quintet.monitoring.outputs import output_values
from quintet.monitoring.samples import Reference, Sample, count_labels

pytestmark = pytest.mark.browser

TODAY = date(2026, 3, 2)
FEATURES = 100
RANDOM = np.random.default_rng(2)
CLASSES = ("kept", "cancelled_by_the_customer_before_dispatch")
CONTRACT = Contract(
    name="shop",
    version=3,
    task="classification",
    features=tuple(
        Feature(name=f"average_value_of_orders_in_the_last_days_{n}", dtype="float32")
        for n in range(FEATURES)
    ),
    inputs=(),
    outputs=(
        Output(name="label", dtype="int64", shape=(-1,), meaning="label", classes=CLASSES),
        Output(name="probabilities", dtype="float32", shape=(-1, 2), meaning="probabilities"),
    ),
)


def world(rows: int, shift: float = 0.0) -> tuple[dict[str, Any], dict[str, Any]]:
    values = RANDOM.normal(size=(rows, FEATURES)).astype(np.float32)
    values[:, :3] += np.float32(shift)
    columns = {one.name: values[:, place] for place, one in enumerate(CONTRACT.features)}
    p = 1 / (1 + np.exp(-values[:, 0]))
    outputs = {"label": (p > 0.5).astype(np.int64), "probabilities": np.column_stack([1 - p, p])}
    return columns, outputs


def trained() -> Reference:
    columns, outputs = world(1_000)
    baseline = baseline_of(CONTRACT, columns, None, [CLASSES[n % 2] for n in range(1_000)])
    return Reference(CONTRACT, with_outputs(baseline, outputs_of(CONTRACT, outputs), None))


def report(reference: Reference, day: date, before: dict[date, Any]) -> dict[str, Any]:
    columns, outputs = world(400, 1.0)
    sample = Sample(reference, 400)
    sample.add(columns, np.arange(400), None, output_values(CONTRACT, outputs))
    labels = np.array([CLASSES[1]] * 300, dtype=object)
    units = [(400, sample.document()), (300, count_labels(reference, labels, None))]
    long = "a_field_with_a_very_long_name_" * 4
    return {
        "model": "shop",
        "day": day.isoformat(),
        "version": 3,
        "rows": {"scored": 4_000_000, "refused": 1_000, "failed": 3},
        "fallback": 12,
        "reasons": [{"reason": f"{long}: expected a number from 0 to 100", "rows": 1_000}],
        "senders": [{"path": "batch", "sender": f"in/{long}.parquet", "rows": 9, "refused": 1}],
        "notes": ["captures of the future, up to 2026-03-09 09:00, in 1 objects"],
        **judge(day, reference, units, [], before),
    }


MEASURES = """
  svgs: document.querySelectorAll('svg').length,
  hover: document.querySelectorAll('[title], svg title').length,
  scripts: document.querySelectorAll('script').length - 1,
  details: document.querySelectorAll('details').length,
  focusable: [...document.querySelectorAll('summary')].filter(e => {
    e.focus();
    return document.activeElement === e;
  }).length,
  shown: [...document.querySelectorAll('details')].filter(e => e.innerText.includes('\\n')).length,
  days: [...document.querySelectorAll('.trend th')].filter(e => e.offsetWidth).length - 1,
"""


@pytest.mark.parametrize(("width", "days"), [(1200, 14), (600, 7)])
def test_a_day_of_a_hundred_features_fits_its_window(tmp_path: Path, width: int, days: int) -> None:
    reference = trained()
    before: dict[date, Any] = {}
    for back in range(14, 0, -1):
        day = TODAY - timedelta(days=back)
        before[day] = report(reference, day, before)
    found = report(reference, TODAY, before)
    assert "labels" in found["drifting"] and "output probabilities_1" in found["drifting"]
    body = page(found, before)
    assert len(body) < 1_000_000
    assert laid_out(body, tmp_path, width, MEASURES) == {
        "width": width,
        "over": 0,
        "sideways": 0,
        "requests": 0,
        "svgs": 100,  # of 103 columns, the movers first
        "hover": 0,  # nothing is shown to a mouse alone
        "scripts": 0,
        "details": 100,
        "focusable": 100,
        "shown": 100,
        "days": days,
    }
