"""The impression of a recommendation: one row of its event that is no prediction for any reader."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from arro3 import core
from tests.kits.captures import (
    CAPTURED,
    delivery,
    impression,
    impression_line_of,
    lines_of,
    records,
    table,
)
from tests.kits.comparing import LIVE, RolloutWorld, fragile_graph
from tests.kits.models import NOW, Clock, event, online, shop_graph

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.captures.compaction import Compacted, compact
from quintet.captures.delivery import Delivered, deliver
from quintet.captures.erasure import Erased, erase
from quintet.captures.events import new_event
from quintet.captures.lines import failure_line
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import read_lines
from quintet.captures.store import MemoryCaptures
from quintet.captures.stored import stored_features
from quintet.captures.tables import read_parquet, write_parquet
from quintet.columns import from_records
from quintet.contract import Contract
from quintet.daily.report import report_day
from quintet.errors import ModelFailure
from quintet.labels.window import versions_between
from quintet.monitoring.samples import Reference
from quintet.onnx_model import OnnxModel
from quintet.protocols.http import Request, Response, json_body
from quintet.protocols.registry import RECORDS
from quintet.rollouts.rehearsal import rehearse
from quintet.serving import RequestContext

LATER = NOW + 2 * 3600
ROWS: list[dict[str, Any]] = [{"customer": "c1", "amount": amount} for amount in (100, 200)]
SHOWN = impression("c1")


def answered(
    capsys: pytest.CaptureFixture[str],
    contract: Contract,
    answer: Callable[[RequestContext, Any], Response],
) -> tuple[dict[str, Any], list[str]]:
    """A request that `answer` answers by a model, with its lines of captures."""
    service = online(contract, clock=Clock())
    telemetry = RequestTelemetry(StdoutTelemetry("test", {}, clock=lambda: NOW + 1))

    def handle(request: Request, context: RequestContext) -> Response:
        return answer(context, service)

    routes = gateway.Routes({("GET", "/models/{model}/x"): (handle, RECORDS.failure)})
    sent = event("GET", "/models/shop/x", "", {})
    found = gateway.respond(sent, routes, lambda: telemetry, lambda: "none")
    lines = [one for one in capsys.readouterr().out.splitlines() if '"capture":1' in one]
    return found, lines


def ranked(context: RequestContext, service: Any) -> Response:
    context.event = new_event()
    service.predict(context, service.route(context, "shop", None), from_records(CAPTURED, ROWS))
    context.impression = SHOWN
    return Response(200, json_body({"impression": context.event}))


def popular(context: RequestContext, service: Any) -> Response:
    context.event = new_event()
    service.route(context, "shop", None)
    context.impression = impression("c9", step="popular", why="no_candidates")
    return Response(200, json_body({"impression": context.event}))


def rows_of(lines: list[str]) -> core.Table:
    found, unreadable = read_lines(lines)
    assert unreadable == 0
    ((_, read),) = found.items()
    return read.rows


def test_a_recommendation_leaves_its_rows_and_one_impression(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer, lines = answered(capsys, CAPTURED, ranked)
    assert len(lines) == 2
    shown = json.loads(answer["body"])["impression"]
    assert shown == answer["headers"]["X-Quintet-Event"]
    names = ("event", "row", "outcome", "entity", "rows", "route", "feature_amount", "impression")
    one, other, last = records(rows_of(lines), *names)
    assert one == (shown, 0, "scored", "c1", 2, "live", 100.0, None)
    assert other == (shown, 1, "scored", "c1", 2, "live", 200.0, None)
    assert last[:-1] == (shown, None, "recommended", "c1", 2, "live", None)
    assert json.loads(last[-1]) == SHOWN
    fixed = ("model", "version", "digest", "event_time", "served_at", "request_id", "cold")
    first, _, again = records(rows_of(lines), *fixed)
    assert first == again
    assert set(records(rows_of(lines), "total_ms")) == {(json.loads(lines[1])["ms"]["total_ms"],)}


def test_a_recommendation_without_a_run_of_the_model_is_an_impression_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer, (line,) = answered(capsys, CAPTURED, popular)
    names = ("event", "row", "outcome", "entity", "rows", "version", "event_time")
    moment = datetime.fromtimestamp(NOW + 1, UTC).replace(tzinfo=None)
    assert records(rows_of([line]), *names) == [
        (answer["headers"]["X-Quintet-Event"], None, "recommended", "c9", 0, 3, moment)
    ]


def test_what_nobody_was_shown_is_no_impression(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(context: RequestContext, service: Any) -> Response:
        ranked(context, service)
        raise ModelFailure("after all")

    answer, lines = answered(capsys, CAPTURED, fails)
    assert answer["statusCode"] == 424
    assert records(rows_of(lines), "outcome", "failure") == [("failed", "ModelFailure")]
    for contract in (LIVE, CAPTURED):  # a rate of 0 takes no event
        assert contract.capture is not None
        none = replace(contract, capture=replace(contract.capture, rate=0.0))
        answer, lines = answered(capsys, none, ranked)
        assert (lines, "X-Quintet-Event" in answer["headers"]) == ([], False)


def failed_line(name: str) -> str:
    """The line of a run that failed as a whole: a row without a number, as the impression is."""
    plan: CapturePlan = CAPTURED.compiled[CapturePlan]
    about = {"event": name, "event_time": NOW, "path": "online", "route": "live"}
    return failure_line(plan, about, ModelFailure("x"), 2).decode()


def test_an_impression_is_there_once_after_retries_and_compactions() -> None:
    store = MemoryCaptures()
    line = impression_line_of("e1", SHOWN, rows=2)
    both = delivery([*lines_of("e1", ROWS), line])
    assert deliver(both, store) == Delivered("/aws/lambda/predict", rows=3, objects=1)
    deliver(both, store)
    deliver(delivery([line, failed_line("e2"), impression_line_of("e2", SHOWN)]), store)
    expected = [
        ("e1", None, "recommended", json.dumps(SHOWN, separators=(",", ":"))),
        ("e1", 0, "scored", None),
        ("e1", 1, "scored", None),
        ("e2", None, "recommended", json.dumps(SHOWN, separators=(",", ":"))),
        ("e2", None, "failed", None),
    ]
    names = ("event", "row", "outcome", "impression")
    assert records(table(store), *names) == expected
    assert compact(store, store, LATER) == Compacted(hours=1, rows=5, duplicates=1)
    assert records(table(store), *names) == expected
    deliver(both, store)
    assert compact(store, store, LATER) == Compacted(hours=1, rows=0, duplicates=3)
    assert records(table(store), *names) == expected


def test_an_impression_is_merged_with_rows_from_before_the_column() -> None:
    store = MemoryCaptures()
    deliver(delivery(lines_of("e1", ROWS)), store)
    (key,) = store.objects
    body = read_parquet(store.objects[key])
    old = [name for name in body.column_names if name != "impression"]
    store.objects[key] = write_parquet(body.select(old))
    deliver(delivery([impression_line_of("e2", SHOWN)]), store)
    compact(store, store, LATER)
    assert records(table(store), "event", "outcome") == [
        ("e1", "scored"),
        ("e1", "scored"),
        ("e2", "recommended"),
    ]


def test_a_user_is_erased_from_impressions_too() -> None:
    store = MemoryCaptures()
    lines = [impression_line_of(f"e{n}", impression(user)) for n, user in enumerate(("c1", "c2"))]
    deliver(delivery(lines[:1]), store)
    compact(store, store, LATER)
    deliver(delivery([*lines[1:], *lines_of("e3", ROWS), impression_line_of("e3", SHOWN)]), store)
    assert erase(store, store, "c1") == Erased(Counter(shop=4), objects=1, proved=1)
    assert records(table(store), "event", "entity") == [("e1", "c2")]
    assert all(b'"user":"c1"' not in body for body in store.objects.values())


def test_readers_of_predictions_leave_impressions_out() -> None:
    """Each reads the same with and without impressions, of every one of its events and alone."""
    plain, store = MemoryCaptures(), MemoryCaptures()
    lines = lines_of("e1", ROWS)
    deliver(delivery(lines), plain)
    shown = [impression_line_of(name, SHOWN) for name in ("e1", "e9")]
    deliver(delivery([*lines, *shown]), store)
    day = datetime.fromtimestamp(NOW, UTC).date()
    span = (NOW - 43_200, NOW + 43_200)
    reference = Reference(CAPTURED, {})
    live, candidate = OnnxModel(LIVE, shop_graph()), OnnxModel(LIVE, fragile_graph())

    def read(objects: MemoryCaptures) -> dict[str, Any]:
        served, damaged = versions_between(objects, "shop", *span, lambda version: ["entity"])
        rehearsed = rehearse(objects, live, candidate, *span)
        report = report_day(
            "shop", day, objects=objects, reference=lambda version: reference, now=NOW
        )
        return {
            "served": [(version, rows.keys.tolist()) for version, rows in served.items()],
            "damaged": damaged,
            "features": stored_features(objects, reference, *span),
            "rehearsed": rehearsed.outcomes,
            "daily": report,
        }

    found = read(store)
    assert found == read(plain)
    assert found["served"] == [(3, [b"e1.0", b"e1.1"])]
    assert found["rehearsed"]["rows"] == 2
    assert found["daily"]["rows"] == {"scored": 2, "refused": 0, "failed": 0}
    only = MemoryCaptures()
    deliver(delivery(shown), only)
    found = read(only)
    assert (found["served"], found["features"]["rows"]) == ([], 0)
    assert (found["rehearsed"]["rows"], found["daily"]["senders"]) == (0, [])


def test_a_rollout_is_judged_by_predictions_and_hears_of_no_impression() -> None:
    world = RolloutWorld()
    lines = world.lines("e1", 4, [{"customer": "c1", "amount": 100}])
    mark = json.loads(lines[0])["rollout"]
    shown = [
        impression_line_of(name, SHOWN, contract=world.contracts[4], rollout=mark)
        for name in ("e1", "e2")
    ]
    keys = world.put([*lines, shown[0]])
    assert len(keys) == 1
    assert world.put([shown[1]]) == []
    done = world.comparer().compare([keys])
    assert (done.rows, done.pairs, done.failed) == (1, 1, {})
    assert world.evidence.read("shop", "r1").event.tolist() == ["e1"]
    assert np.isfinite(world.evidence.read("shop", "r1").live_score).all()
