"""The metrics that the alarm of the template watches."""

from __future__ import annotations

import json

import pytest

from quintet.daily.telemetry import DailyTelemetry
from quintet.telemetry.powertools import MetricsWriter, make_logger


def test_models_that_drift_are_counted_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Quintet")
    shared = {"day": "2026-03-02", "version": 3}
    reports = [
        {**shared, "model": "a", "drift": {}, "moved": ["x", "y"], "drifting": ["x"]},
        {**shared, "model": "b", "drift": {}, "moved": [], "drifting": []},
        {**shared, "model": "c", "drift": None, "moved": [], "drifting": []},
    ]
    DailyTelemetry(make_logger("test"), MetricsWriter("test")).reported(reports)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logged = [(line["level"], line["model"], line["drifting"]) for line in lines if "level" in line]
    assert logged == [("WARNING", "a", ["x"]), ("INFO", "b", []), ("INFO", "c", [])]
    names = ("model", "moved_features_count", "drifting_features_count", "drifting_models_count")
    assert [[line.get(name) for name in names] for line in lines if "_aws" in line] == [
        ["a", [2.0], [1.0], None],
        ["b", [0.0], [0.0], None],
        [None, None, None, [1.0]],
    ]
