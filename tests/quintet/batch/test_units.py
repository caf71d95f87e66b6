"""Scoring units: the same bytes each time, a result for each, features joined."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import orjson
import pytest
from arro3 import io as arrow_io
from tests.kits.batch import (
    BUCKET,
    CONTRACT,
    MODEL,
    STARTED,
    Bench,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
    tiny_graph,
)

from quintet.batch import units
from quintet.batch.plans import Plan, Snapshot, dump, plan_from
from quintet.batch.stores import MemoryInputBucket, MemoryObjectStore, PinnedSource
from quintet.batch.units import score_unit
from quintet.columns import Array
from quintet.contract import Contract, Fallback, Feature
from quintet.errors import ModelFailure, Transient
from quintet.features import MemoryFeatures, StoredValue
from quintet.formats import byte_streams, chunks, parquet_rows
from quintet.formats.byte_streams import side_by_side
from quintet.onnx_model import OnnxModel

ROWS = [row(number, country="xx" if number == 7 else "de") for number in range(50)]


def planned(bench: Bench, key: str, body: bytes, unit_bytes: int = 1 << 20, out: str = "") -> Plan:
    plan = bench.plan(key, body, unit_bytes, out)
    assert isinstance(plan, Plan), plan
    return plan


def test_a_units_result_says_what_was_written() -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS))
    (result,) = bench.score(plan)
    root = plan.folder.root
    files = [f"{root}scores/part-00000.parquet", f"{root}quarantine/part-00000.jsonl"]
    nothing: dict[str, Any] = {"features": {}, "outputs": {}}
    assert result == {
        "unit": 0,
        "status": "done",
        "first_row": 0,
        "rows": 50,
        "scored": 49,
        "quarantined": 1,
        "fallback": 0,
        "ms": 0.0,
        "peak_mb": 0.0,
        "reasons": [
            {
                "field": "country",
                "expected": "one of de, fr",
                "rows": 1,
                "examples": [{"row": 7, "got": "'xx'"}],
            }
        ],
        "histogram": result["histogram"],
        "sample": {"rows": 49, **nothing, "entities": {"rows": 49, **nothing}},
        "notes": [],
        "defaults": {"": {"rows": 50, "absent": {}}},
        "files": [
            {
                "key": key,
                "rows": rows,
                "size": len(bench.store.objects[key]),
                "sha256": hashlib.sha256(bench.store.objects[key]).hexdigest(),
            }
            for key, rows in zip(files, (49, 1), strict=True)
        ],
    }
    assert sum(result["histogram"]["counts"]) == 49
    assert orjson.loads(bench.store.objects[plan.folder.result(0)]) == result


class FailingStore(MemoryObjectStore):
    """Fails once at the n-th call from now, as a network does."""

    def __init__(self) -> None:
        super().__init__()
        self.left = -1

    def _tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Transient("the store could not be reached")

    def get(self, key: str) -> bytes | None:
        self._tick()
        return super().get(key)

    def put(self, key: str, body: bytes) -> None:
        self._tick()
        super().put(key, body)


@pytest.mark.parametrize("body", [csv_bytes(ROWS), jsonl_bytes(ROWS), parquet_bytes(ROWS, 9)])
def test_a_unit_that_fails_in_passing_gives_the_same_bytes(body: bytes) -> None:
    key = "tiny/a.parquet" if body.startswith(b"PAR1") else "tiny/a.csv"
    key = "tiny/a.jsonl" if body.startswith(b"{") else key
    calm = Bench()
    plan = planned(calm, key, body, 600)
    calm.score(plan)
    calls = 4  # of one unit: look, scores, quarantine, result
    for failing in range(1, calls + 1):
        bench = Bench()
        bench.store = FailingStore()
        planned(bench, key, body, 600)
        bench.store.left = failing
        with pytest.raises(Transient):
            bench.score(plan)
            bench.score(plan)
            raise AssertionError("nothing failed")
        bench.score(plan)
        assert bench.store.objects == calm.store.objects


def test_a_unit_that_was_scored_is_not_scored_again() -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS))
    first = bench.score(plan)
    before = dict(bench.store.objects)
    bench.inbox.versions.clear()  # what is not there cannot be read again
    assert bench.score(plan) == first
    assert bench.store.objects == before


@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_a_file_changed_after_planning_fails_its_units_by_name(change: str) -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS))
    held = bench.inbox.versions[plan.input.bucket, plan.input.key]
    if change == "deleted":
        held.clear()
    else:
        held[0] = (dataclasses.replace(held[0][0], etag="other"), b"x")
    (result,) = bench.score(plan)
    assert (result["status"], result["reason"]) == (
        "failed",
        "the file: expected tiny/a.csv as it was planned, got another; "
        "it was deleted or overwritten",
    )


def test_damaged_pages_of_parquet_fail_their_unit_alone() -> None:
    bench = Bench()
    body = bytearray(parquet_bytes(ROWS, 10))
    plan = planned(bench, "tiny/a.parquet", bytes(body), 1)
    start = 40
    body[start : start + 60] = b"\xff" * 60
    held = bench.inbox.versions[plan.input.bucket, plan.input.key]
    held[0] = (held[0][0], bytes(body))
    results = bench.score(plan)
    assert [r["status"] for r in results] == ["failed", "done", "done", "done", "done"]
    assert results[0]["reason"] == (
        "the file: expected Parquet, whole, got data that cannot be decoded"
    )


class Broken:
    """A model that always fails."""

    contract = CONTRACT

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        raise ModelFailure("model tiny version 3 failed (RuntimeException)")


def test_a_model_that_fails_is_a_failed_unit_and_not_tried_again() -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS))
    (result,) = bench.score(plan, model=Broken)
    assert result == {
        "unit": 0,
        "status": "failed",
        "reason": "model tiny version 3 failed (RuntimeException)",
        "first_row": 0,
        "rows": 50,
        "scored": 0,
        "quarantined": 0,
        "ms": 0.0,
        "peak_mb": 0.0,
    }


class Picky:
    """The tiny model, which breaks on some amounts."""

    contract = CONTRACT

    def __init__(self, *amounts: float) -> None:
        self._amounts = amounts

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        if np.isin(feeds["amount"], self._amounts).any():
            raise ModelFailure("model tiny version 3 failed (RuntimeException)")
        return MODEL.run(outputs, feeds)


@pytest.mark.parametrize("broken", [[0], [49], [7, 8, 31], list(range(10, 18))])
def test_rows_that_break_the_model_are_refused_alone(broken: list[int]) -> None:
    rows = [row(number) for number in range(50)]
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(rows))
    calm = Bench()
    calm.score(planned(calm, "tiny/a.csv", csv_bytes(rows)))
    result = score_unit(
        bench.units(plan)[0],
        plan,
        model=lambda: Picky(*(rows[number]["amount"] for number in broken)),
        inbox=bench.inbox,
        store=bench.store,
        cells=bench.cells,
        features=bench.features,
        clock=lambda: 0.0,
    )
    assert (result["status"], result["quarantined"]) == ("done", len(broken))
    reason = {
        "field": "model",
        "expected": "an answer for this row",
        "got": "model tiny version 3 failed (RuntimeException)",
    }
    assert [(q["row"], q["reasons"]) for q in bench.quarantine(plan.folder)] == [
        (number, [reason]) for number in broken
    ]
    whole = [r for r in calm.scores(plan.folder) if r["row"] not in broken]
    assert bench.scores(plan.folder) == whole


def test_scores_come_in_the_form_asked_for() -> None:
    bench = Bench()
    body = csv_bytes(ROWS[:2])
    for form, key in (("csv", "tiny/c.csv"), ("jsonl", "tiny/j.csv"), ("input", "tiny/i.csv")):
        plan = planned(bench, key, body, out=form)
        bench.score(plan)
        (name,) = bench.store.keys(f"{plan.folder.root}scores/")
        text = bench.store.objects[name].decode()
        assert name.endswith("jsonl" if form == "jsonl" else "csv")
        rows: list[dict[str, Any]] = (
            [orjson.loads(line) for line in text.splitlines()]
            if form == "jsonl"
            else list(csv.DictReader(io.StringIO(text)))
        )
        assert [(int(r["row"]), r["customer"], float(r["score"])) for r in rows] == [
            (0, "c0", 0.5),
            (1, "c1", pytest.approx(0.754915)),
        ]


def test_a_unit_of_refused_rows_only_writes_its_columns_all_the_same() -> None:
    bench = Bench()
    whole = planned(bench, "tiny/a.csv", csv_bytes(ROWS[:3]))
    none = planned(bench, "tiny/b.csv", b"customer,amount,visits,country\na\nb\n")
    assert [bench.score(plan)[0]["scored"] for plan in (whole, none)] == [3, 0]
    schemas = [
        arrow_io.read_parquet(bench.store.objects[plan.folder.scores(0, "parquet")]).schema.names
        for plan in (whole, none)
    ]
    assert schemas[0] == schemas[1]


STORED = dataclasses.replace(
    CONTRACT,
    features=(
        *(f for f in CONTRACT.features if f.name != "rate"),
        Feature(
            name="rate", dtype="float32", source="store", max_age=3600.0, when_stale="fallback"
        ),
    ),
    fallback=Fallback(
        otherwise={"score": 0.25, "parts": [0.0, 0.0], "country_seen": "unknown"},
    ),
)


def test_stored_features_are_joined_as_of_the_runs_start() -> None:
    bench = Bench()
    model = OnnxModel(STORED, tiny_graph())
    started = 1795161600.0
    rows = [{k: v for k, v in row(n).items() if k != "rate"} for n in (2, 4, 6)]
    plan = dataclasses.replace(planned(bench, "tiny/a.jsonl", jsonl_bytes(rows)), started=STARTED)
    features = MemoryFeatures()
    features.put("customer", "c2", "rate", 0.75, started - 60)
    features.put("customer", "c4", "rate", 0.75, started - 7200)  # too old
    result = score_unit(
        bench.units(plan)[0],
        plan,
        model=lambda: model,
        inbox=bench.inbox,
        store=bench.store,
        cells=bench.cells,
        features=features,
        clock=lambda: 0.0,
    )
    assert (result["scored"], result["quarantined"], result["fallback"]) == (3, 0, 2)
    assert [(r["customer"], r["fallback"]) for r in bench.scores(plan.folder)] == [
        ("c2", False),
        ("c4", True),
        ("c6", True),
    ]


class Failing(MemoryInputBucket):
    """Cannot be read from some byte on."""

    at = 1 << 40

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        if start <= self.at < end:
            raise Transient("the inbox could not be read")
        return super().read(snapshot, start, end)


@pytest.mark.parametrize("body", [csv_bytes(ROWS), jsonl_bytes(ROWS), parquet_bytes(ROWS, 9)])
def test_an_inbox_that_fails_amid_a_file_is_read_again_later(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_streams, "STEP", 100)
    bench, inbox = Bench(), Failing()
    bench.inbox = inbox
    suffix = {b"c": "csv", b"{": "jsonl", b"P": "parquet"}[body[:1]]
    plan = planned(bench, f"tiny/a.{suffix}", body)
    inbox.at = 550
    with pytest.raises(Transient, match="the inbox"):
        bench.score(plan)
    assert bench.store.get(plan.folder.result(0)) is None
    inbox.at = 1 << 40
    (result,) = bench.score(plan)
    assert (result["status"], result["scored"]) == ("done", 49)


def test_what_follows_is_read_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=30)

    class Meeting(MemoryInputBucket):
        """Answers when it is asked twice at once."""

        def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
            both.wait()
            return super().read(snapshot, start, end)

    monkeypatch.setattr(byte_streams, "STEP", 100)
    inbox, body = Meeting(), bytes(range(200)) * 2
    snapshot = inbox.put(BUCKET, "a", body)
    blocks = list(byte_streams.text_blocks(PinnedSource(inbox, snapshot), False, 0))
    assert blocks == [body[at : at + 100] for at in range(0, 400, 100)]


class Away:
    """A feature source that cannot be read."""

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        raise Transient("the feature store cannot be read")


@pytest.mark.parametrize("rule", [True, False])
def test_a_feature_store_that_is_away_is_answered_by_the_rule_or_tried_again(rule: bool) -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes([{**row(1)}]))
    stored: Contract = STORED if rule else dataclasses.replace(STORED, fallback=None)
    model = OnnxModel(stored, tiny_graph())
    with nullcontext() if rule else pytest.raises(Transient):
        score_unit(
            bench.units(plan)[0],
            plan,
            model=lambda: model,
            inbox=bench.inbox,
            store=bench.store,
            cells=bench.cells,
            features=Away(),
            clock=lambda: 0.0,
        )
    assert bool(bench.store.keys(plan.folder.results)) == rule


def test_an_attempt_that_fails_late_leaves_the_result_of_another() -> None:
    """A zombie reads the file once it is gone, and a redrive has scored it before."""
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS))

    def model() -> OnnxModel:
        bench.score(plan)
        bench.inbox.versions.clear()
        return MODEL

    (result,) = bench.score(plan, model=model)
    assert result["status"] == "done"
    assert orjson.loads(bench.store.objects[plan.folder.result(0)]) == result


def test_plans_are_read_as_they_were_written() -> None:
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS), out="csv")
    assert plan_from(dump(plan)) == plan
    assert isinstance(plan.input, Snapshot)
    refused = bench.plan("nosuch/a.csv", b"x")
    assert plan_from(dump(refused)) == refused


@pytest.mark.parametrize("keep", [None, "*"])
@pytest.mark.parametrize("bad", [ROWS, [{**one, "visits": -1} for one in ROWS]])
def test_a_unit_that_finds_much_writes_it_in_several_files(
    keep: str | None, bad: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 4)
    whole, parts = Bench(), Bench()
    results = []
    for bench, most in ((whole, 1 << 20), (parts, 200)):
        monkeypatch.setattr(units, "MAX_HELD_BYTES", most)
        bench.inbox.put(BUCKET, "data/a.csv", csv_bytes(bad))
        plan = bench.plan_many(prefix="data/", keep=keep)
        results += bench.score(plan)
        results += bench.score(plan)  # again: it is not scored again
    one, _, many, again = results
    assert again == many
    assert {**many, "files": []} == {**one, "files": []}
    assert len(one["files"]) < len(many["files"])
    assert sum(file["rows"] for file in many["files"]) == 50
    assert {file["key"] for file in many["files"]} == {
        *parts.store.keys(f"{plan.folder.root}scores/"),
        *parts.store.keys(plan.folder.quarantines),
    }
    for file in many["files"]:
        body = parts.store.objects[file["key"]]
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["size"], file["sha256"])
    assert parts.scores(plan.folder) == whole.scores(plan.folder)
    assert parts.quarantine(plan.folder) == whole.quarantine(plan.folder)


def test_a_unit_that_takes_long_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 20)
    bench = Bench()
    plan = planned(bench, "tiny/a.csv", csv_bytes(ROWS))
    ticks = iter([0.0, 4.0, 9.0, 11.0, 12.0])  # the beginning, three chunks, the end
    (unit,) = bench.units(plan)
    result = score_unit(
        unit,
        plan,
        model=lambda: MODEL,
        inbox=bench.inbox,
        store=bench.store,
        cells=bench.cells,
        features=bench.features,
        clock=lambda: next(ticks),
    )
    assert (result["scored"], result["ms"]) == (49, 12_000.0)
    beat = orjson.loads(bench.store.objects[plan.folder.beat(0)])
    assert beat == {"unit": 0, "rows": 33, "of": 50, "seconds": 9.0}
    assert next(iter(ticks), None) is None


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_is_made_side_by_side_comes_in_order_and_its_error_ends_it(threads: int) -> None:
    def items() -> Any:
        yield from range(20)
        raise Transient("gone")

    seen = []
    with pytest.raises(Transient, match="gone"):
        for found in side_by_side(lambda item: item * 2, items(), threads):
            seen.append(found)
    assert seen == list(range(0, 2 * (20 - threads), 2))
    assert list(side_by_side(lambda item: item * 2, range(7), threads)) == list(range(0, 14, 2))


def test_what_is_made_side_by_side_leaves_no_thread_when_nobody_takes_it() -> None:
    made = side_by_side(abs, iter(range(1000)), 2)
    assert next(made) == 0
    assert any(thread.name.startswith("worker") for thread in threading.enumerate())
    del made
    assert not any(thread.name.startswith("worker") for thread in threading.enumerate())


def test_so_many_are_made_side_by_side_and_no_more() -> None:
    meet = threading.Barrier(3)

    def together(item: int) -> int:
        meet.wait(30)  # goes on when three are at work at once
        return item

    assert list(side_by_side(together, range(9), 3)) == list(range(9))
    workers = set()
    for name in side_by_side(lambda _: threading.current_thread().name, range(50), 2):
        workers.add(name)
    assert len(workers) <= 2


@pytest.mark.parametrize("body", [csv_bytes(ROWS), jsonl_bytes(ROWS), parquet_bytes(ROWS, 9)])
def test_any_number_of_threads_gives_the_same_bytes(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parquet_rows, chunks):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    suffix = {b"c": "csv", b"{": "jsonl", b"P": "parquet"}[body[:1]]
    found = []
    for threads in (1, 2, 7):
        bench = Bench()
        plan = planned(bench, f"tiny/a.{suffix}", body)
        bench.score(plan, threads=threads)
        found.append(bench.store.objects)
    assert found[0] == found[1] == found[2]
    assert len(bench.scores(plan.folder)) == 49


FORMULAS = ["=cmd|' /C calc'!A0", "+1+2", "-2+3", "@SUM(A1)", "\t=1"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_texts_that_a_spreadsheet_takes_for_formulas_are_quoted_in_csv_alone(form: str) -> None:
    plain = ["-1.5", "+3e5", "a=b", "'x"]
    rows = [row(n, customer=text) for n, text in enumerate([*FORMULAS, *plain])]
    bench = Bench()
    plan = bench.plan("tiny/a.jsonl", jsonl_bytes(rows), output=form)
    bench.score(plan)
    (key,) = bench.store.keys(f"{plan.folder.root}scores/")
    body = bench.store.objects[key]
    found: Any
    if form == "csv":
        found = [r["customer"] for r in csv.DictReader(io.StringIO(body.decode(), newline=""))]
    elif form == "jsonl":
        found = [orjson.loads(line)["customer"] for line in body.splitlines()]
    else:
        found = arrow_io.read_parquet(io.BytesIO(body)).read_all().column("customer").to_pylist()
    expected = [f"'{text}" for text in FORMULAS] if form == "csv" else FORMULAS
    assert found == [*expected, *plain]
