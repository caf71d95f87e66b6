"""Captures of jobs: one event a job, with the job's id, whatever is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.captures import CAPTURED, records
from tests.kits.models import LOG, NOW, online
from tests.kits.workers import Bench, job, logs, message

from quintet.captures.reading import read_lines
from quintet.contract import Capture, Contract
from quintet.errors import Transient
from quintet.features import MemoryFeatures, StoredValue
from quintet.jobs.job import Content
from quintet.jobs.transitions import JobTransitions

CAPTURED_LOG = replace(LOG, capture=Capture(days=7))


def bench(*contracts: Contract) -> Bench:
    return Bench(models=online(*(contracts or (CAPTURED_LOG,))).models)


def rows(made: Bench, *names: str) -> list[tuple[Any, ...]]:
    """Columns of the captures that were written, by event and row."""
    found, unreadable = read_lines(line.decode() for line in made.lines)
    assert unreadable == 0
    tables = [read.rows for read in found.values()]
    return sorted((row for one in tables for row in records(one, *names)), key=str)


def test_jobs_scored_together_are_captured_each_with_what_the_model_saw() -> None:
    made = bench(replace(CAPTURED, id="order"))
    made.features = MemoryFeatures()
    made.features.put("customer", "c1", "orders_90d", 4, NOW - 600)
    made.features.put("customer", "c2", "orders_90d", 9, NOW - 86_400, known=NOW)
    orders = [{"customer": "c1", "amount": 100, "order": 7}, {"customer": "c2", "amount": 5}]
    accepted = [
        job(name, {"records": [order]}, model="shop", version=3, created=NOW - 60)
        for name, order in zip(("a", "b"), orders, strict=True)
    ]
    made.work(*accepted)
    names = ("event", "row", "job", "caller", "path", "entity", "row_id", "feature_amount")
    assert rows(made, *names) == [
        ("a", 0, "a", "ann", "async", "c1", "7", 100.0),
        ("b", 0, "b", "ann", "async", "c2", None, 5.0),
    ]
    stored = ("event", "feature_orders_90d", "age_orders_90d", "known_orders_90d")
    assert rows(made, *stored) == [
        ("a", 4.0, 600.0, None),
        ("b", 9.0, 86_400.0, np.datetime64(int(NOW), "s").item()),
    ]
    assert rows(made, "event", "fallback", "fallback_reason") == [
        ("a", False, None),
        ("b", True, "orders_90d is too old"),
    ]
    times = rows(made, "event_time", "served_at", "score_ms", "cold")
    assert {(served - came).total_seconds() for came, served, _, _ in times} == {60.0}
    assert all(took > 0 for _, _, took, _ in times)
    assert [cold for _, _, _, cold in times] == [True, True]


def test_refusals_and_failures_are_captured_without_values() -> None:
    made = bench()
    some = {"records": [{"x": 2}, {"x": 0}], "partial": True}
    made.work(job("partial", some), logs("bad", 0.0))
    broken = job("text", b"{", request=Content("application/json", 1, b"{"))
    made.work(broken)
    names = ("event", "row", "outcome", "refusals", "failure")
    assert rows(made, *names) == [
        ("bad", None, "failed", None, "ModelFailure"),
        ("partial", 0, "scored", None, None),
        ("partial", 1, "refused", "logs: expected a finite output", None),
        ("text", None, "refused", "body: expected JSON in UTF-8 with finite numbers", None),
    ]


def test_a_transient_failure_is_no_event_and_the_repeat_has_the_jobs_id() -> None:
    class Flaky:
        calls = 0

        def fetch(
            self, key: str, entities: Sequence[str], names: Sequence[str]
        ) -> dict[str, dict[str, StoredValue]]:
            """Away at the first call."""
            self.calls += 1
            if self.calls == 1:
                raise Transient("away")
            return {entity: {"orders_90d": StoredValue(1.0, NOW)} for entity in entities}

    made = bench(replace(CAPTURED, fallback=None))
    made.features = Flaky()
    order = {"records": [{"customer": "c1", "amount": 1}]}
    made.work(job("a", order, model="shop", version=3))
    assert made.lines == []
    made.work(replace(job("b", order, model="shop", version=3), reopened=1))
    assert rows(made, "event", "job") == [("b.1", "b")]


def test_a_worker_that_dies_before_it_settles_leaves_one_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = bench()

    def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(JobTransitions, "settle", lambda self, answered: die() if answered else [])
        made.work(logs("a", 2.0))
    made.clock.now += 1000  # its lease is over
    made.worker().work([message("a", receives=2)])
    assert made.states()["a"] == "DONE"
    found = rows(made, "event", "row")
    assert found == [("a", 0), ("a", 0)]  # two lines of one event: compaction takes one


def test_a_contract_without_capture_leaves_nothing() -> None:
    made = bench(LOG)
    made.work(logs("a", 2.0), logs("bad", 0.0))
    assert made.lines == []
