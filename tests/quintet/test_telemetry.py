"""Log lines and metrics on stdout are what Powertools writes for the same inputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from tests.kits.aws import forget_built

from quintet.api.telemetry import StdoutTelemetry
from quintet.streaming.scorer import ShardOutcome
from quintet.streaming.telemetry import StreamTelemetry
from quintet.telemetry.metrics import METRICS
from quintet.telemetry.powertools import MetricsWriter, make_logger

SERVICE = "telemetry-test"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
#: Powertools' times are cut to milliseconds
WITHIN_THE_MILLISECOND = 0.0004


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if "LOG_LEVEL" in name or "POWERTOOLS" in name]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", SERVICE)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Quintet")
    forget_built(SERVICE)
    yield
    forget_built(SERVICE)


def ours(epoch_seconds: float) -> StdoutTelemetry:
    return StdoutTelemetry("test", os.environ, clock=lambda: epoch_seconds + WITHIN_THE_MILLISECOND)


def check_line(
    read: Callable[[], str], level: str, message: str, fields: Mapping[str, Any]
) -> None:
    """Both write the same bytes."""
    getattr(make_logger("test"), level.lower())(message, **fields)
    theirs = read()
    moment = json.loads(theirs)["timestamp"] if theirs else "2026-01-02T03:04:05+00:00"
    output = ours(datetime.fromisoformat(moment).timestamp())
    output.write(output.line(level, message, fields))
    assert read() == theirs


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was written to stdout since the last call."""
    return lambda: capsys.readouterr().out


@pytest.mark.parametrize("level", ["INFO", "WARNING", "ERROR"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "fraud", "version": 3, "rows": 1, "total_ms": 0.123, "left_out": None},
        {"text": 'é " \\ \n\u2028', "by": {"a:1": 2}, "of": [1, None], "odd": {"1": 2.5e-7}},
        {"stack": ["a.py:1 f"], "error": "KeyError", "made": datetime(2026, 1, 2), "big": 1e300},
    ],
    ids=["none", "plain", "odd", "more"],
)
def test_a_line_is_powertools_own(
    read: Callable[[], str], level: str, fields: dict[str, Any]
) -> None:
    check_line(read, level, "what happened", fields)


@pytest.mark.parametrize("trace", [TRACE, "Root=1-2-3", ""])
def test_a_line_has_the_xray_trace(
    read: Callable[[], str], monkeypatch: pytest.MonkeyPatch, trace: str
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    check_line(read, "INFO", "traced", {"rows": 1})


@pytest.mark.parametrize("variable", ["POWERTOOLS_LOG_LEVEL", "LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL"])
@pytest.mark.parametrize("least", ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"])
def test_a_line_below_the_log_level_is_left_out(
    read: Callable[[], str], monkeypatch: pytest.MonkeyPatch, variable: str, least: str
) -> None:
    monkeypatch.setenv(variable, least)
    for level in ("INFO", "WARNING", "ERROR"):
        check_line(read, level, "perhaps", {"rows": 1})


@pytest.mark.parametrize(
    "values",
    [
        {"requests_count": 1},
        {"total_ms": 12.345678901234567, "requests_count": True},
        dict.fromkeys(METRICS, 1e-7),
    ],
    ids=["one", "two", "all"],
)
@pytest.mark.parametrize("dimensions", [{}, {"model": "fraud", "route": "live"}])
def test_metrics_are_powertools_own(
    read: Callable[[], str], dimensions: dict[str, str], values: dict[str, float]
) -> None:
    MetricsWriter("test").write(dimensions, values)
    theirs = json.loads(read())
    output = ours(theirs["_aws"]["Timestamp"] / 1000)
    output.write(output.metrics(dimensions, values))
    mine = json.loads(read())
    assert mine == theirs
    assert list(mine) == list(theirs)


@pytest.mark.parametrize("disabled", ["true", "1", "false", ""])
def test_metrics_can_be_disabled(
    read: Callable[[], str], monkeypatch: pytest.MonkeyPatch, disabled: str
) -> None:
    if disabled:
        monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", disabled)
    MetricsWriter("test").write({}, {"rows_count": 1})
    theirs = read()
    output = ours(0)
    output.write(output.metrics({}, {"rows_count": 1}))
    assert bool(read()) == bool(theirs)


def test_no_values_are_no_document(read: Callable[[], str]) -> None:
    MetricsWriter("test").write({"model": "fraud"}, {})
    assert (read(), ours(0).metrics({"model": "fraud"}, {})) == ("", b"")


def test_all_documents_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []

    class Recorder:
        write = staticmethod(writes.append)
        flush = staticmethod(lambda: writes.append("flushed"))

    monkeypatch.setattr("sys.stdout", Recorder())
    output = ours(0)
    output.write(output.line("INFO", "done", {}), output.metrics({}, {"rows_count": 1}), b"{}")
    text, flushed = writes
    assert flushed == "flushed"
    line, metrics, other, rest = text.split("\n")
    assert (json.loads(line)["message"], "_aws" in json.loads(metrics)) == ("done", True)
    assert (other, rest) == ("{}", "")


def test_the_versions_of_a_model_on_a_stream_are_one_series(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Quintet")
    rows = {("fraud", 1): 2, ("fraud", 2): 3, ("churn", 7): 1}
    refused = {("fraud", 1): 0, ("fraud", 2): 1, ("churn", 7): 0}
    outcome = ShardOutcome("s", rows=rows, refused=refused, fallback=dict.fromkeys(rows, 0))
    StreamTelemetry(make_logger("test"), MetricsWriter("test")).settle(outcome)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of_models = [d for d in documents if "_aws" in d and "model" in d]
    names = ("model", "route", "rows_count", "refused_rows_count", "version")
    assert [[d.get(name) for name in names] for d in of_models] == [
        ["fraud", "live", [5.0], [1.0], None],
        ["churn", "live", [1.0], None, None],
    ]
