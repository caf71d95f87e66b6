"""Captures of a run's rows, beside its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from arro3 import core
from tests.kits.batch import (
    BUCKET,
    CONTRACT,
    KINDS,
    STARTED,
    Bench,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
    tiny_graph,
)
from tests.kits.captures import records, table

from quintet.batch import captures as unit_captures
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan
from quintet.contract import Capture, Contract
from quintet.onnx_model import OnnxModel


def bench(capture: Capture | None, own: str | None = None) -> Bench:
    contract: Contract = replace(CONTRACT, capture=capture, id=own)
    catalog = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, contract))
    return Bench(catalog, OnnxModel(contract, tiny_graph(), digest="d" * 64))


def test_every_row_of_a_run_is_captured() -> None:
    made = bench(Capture(days=7))
    rows = [row(number) for number in range(6)]
    rows[2]["amount"] = 5000
    plan = made.plan("tiny/a.csv", csv_bytes(rows), unit_bytes=60)
    assert isinstance(plan, Plan)
    assert len(made.score(plan)) > 1
    found = table(made.captures)
    names = ("event", "row", "outcome", "entity", "feature_visits", "output_country_seen")
    reason = "amount: expected a number from -1000 to 1000"
    assert records(found, *names) == [
        (plan.run, number, "scored", f"c{number}", number % 7, rows[number]["country"])
        if number != 2
        else (plan.run, 2, "refused", None, None, None)
        for number in range(6)
    ]
    assert records(found, "refusals")[2] == (reason,)
    started = np.datetime64(STARTED.rstrip("Z"), "us").item()
    constant = ("event_time", "served_at", "path", "run", "record", "rows", "version")
    assert set(records(found, *constant)) == {
        (started, started, "batch", plan.run, "tiny/a.csv", 6, 3)
    }
    assert all(
        key.startswith(f"captures/model=tiny/date=2026-11-20/hour=08/v3-7d-{plan.run}-0000")
        for key in made.captures.objects
    )


@pytest.mark.parametrize("write", [csv_bytes, jsonl_bytes, parquet_bytes])
def test_rows_of_a_file_are_captured_with_their_own_id(write: Callable[..., bytes]) -> None:
    rows = [row(number, order=f"A-{number}") for number in range(6)]
    rows[2]["order"] = "A" * 201
    kinds = {**KINDS, "order": core.DataType.string()}
    body = parquet_bytes(rows, kinds=kinds) if write is parquet_bytes else write(rows)
    names = {csv_bytes: "a.csv", jsonl_bytes: "a.jsonl", parquet_bytes: "a.parquet"}
    made = bench(Capture(), "order")
    plan = made.plan(f"tiny/{names[write]}", body)
    assert isinstance(plan, Plan)
    made.score(plan)
    found = records(table(made.captures), "row", "outcome", "row_id", "refusals")
    reason = "order: expected a string of at most 200 bytes, or a whole number"
    assert found == [
        (n, "refused", None, reason) if n == 2 else (n, "scored", f"A-{n}", None) for n in range(6)
    ]
    bare = bench(Capture())  # the scores are those without
    other = bare.plan(f"tiny/{names[write]}", body)
    assert isinstance(other, Plan)
    bare.score(other)
    expected = [one for one in bare.scores(other.folder) if one["row"] != 2]
    assert made.scores(plan.folder) == expected


def test_a_unit_that_is_scored_again_writes_the_same_captures() -> None:
    made = bench(Capture())
    plan = made.plan("tiny/a.csv", csv_bytes([row(number) for number in range(50)]))
    made.score(plan)
    written = dict(made.captures.objects)
    for key in made.store.keys("runs/tiny/"):
        if "/units/" in key:
            del made.store.objects[key]
    made.score(plan, threads=2)
    assert made.captures.objects == written


def test_a_large_unit_has_several_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_captures, "MAX_HELD_BYTES", 1)
    made = bench(Capture())
    plan = made.plan("tiny/a.csv", csv_bytes([row(number) for number in range(3000)]))
    made.score(plan)
    assert len(made.captures.objects) > 1
    assert table(made.captures).num_rows == 3000


def test_rows_of_many_files_are_told_apart() -> None:
    made = bench(Capture())
    for name in "ab":
        made.inbox.put(BUCKET, f"in/{name}.csv", csv_bytes([row(0), row(1)]))
    plan = made.plan_many(prefix="in/")
    made.score(plan)
    assert isinstance(plan, Plan)
    events = {
        f"in/{name}.csv": f"{plan.run}.{hashlib.sha256(f'in/{name}.csv'.encode()).hexdigest()[:12]}"
        for name in "ab"
    }
    expected = sorted((events[file], row_, file) for file in events for row_ in (0, 1))
    assert records(table(made.captures), "event", "row", "record") == expected


def test_a_rate_takes_its_share_of_rows_and_no_capture_none() -> None:
    rows = csv_bytes([row(number) for number in range(1000)])
    made = bench(Capture(rate=0.2))
    made.score(made.plan("tiny/a.csv", rows))
    found = table(made.captures)
    assert 150 < found.num_rows < 250
    assert set(records(found, "rate")) == {(0.2,)}
    none = bench(None)
    none.score(none.plan("tiny/a.csv", rows))
    assert none.captures.objects == {}
