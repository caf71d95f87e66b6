"""A version on captures of the past: what would have been answered, beside what was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.comparing import CANDIDATE, LIVE, fragile_graph
from tests.kits.models import NOW, shop_graph

from quintet.captures.places import hourly_key
from quintet.captures.reading import Hour
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import moments, table_of, write_parquet
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.onnx_model import OnnxModel
from quintet.rollouts import drawn
from quintet.rollouts.rehearsal import Rehearsal, rehearse

START = int(NOW // 3600) * 3600
ALL = (0.0, float("inf"))


def put(store: MemoryCaptures, amounts: Any, *, hour: int = 0, **fixed: Any) -> None:
    """An hour of captures of the live version, each row an event of its own."""
    amount = np.asarray(amounts, dtype=np.float32)
    rows, start = len(amount), START - hour * 3600
    probability = 1 / (1 + np.exp(-(0.001 * amount - 0.1 + 0.2)))
    values = {
        "feature_amount": amount,
        "feature_items": np.ones(rows, dtype=np.float32),
        "feature_orders_90d": np.ones(rows, dtype=np.float32),
        "output_label": (probability > 0.5).astype(np.int64),
        "output_probability": probability.astype(np.float32),
    }
    known = {
        "event": [f"{hour}-{row}" for row in range(rows)],
        "row": np.zeros(rows, dtype=np.int64),
        "event_time": moments(np.full(rows, float(start))),
        "served_at": moments(np.full(rows, float(start))),
        "outcome": "scored",
        "path": "online",
        "route": "live",
        "fallback": False,
        "without_features": False,
        **fixed,
    }
    key = hourly_key(Hour("shop", 3, 7, start), len(store.objects))
    store.put(key, write_parquet(table_of(rows, known, values)))


def rehearsed(
    store: MemoryCaptures, graph: bytes | None = None, candidate: Contract = CANDIDATE
) -> Rehearsal:
    live = OnnxModel(LIVE, shop_graph())
    return rehearse(store, live, OnnxModel(candidate, graph or fragile_graph()), *ALL)


def fragile(amount: Any) -> Any:
    """What the candidate answers, by hand."""
    return 1 / (1 + np.exp(-(0.1 * np.log(amount) - 0.1 + 0.2)))


def live(amount: Any) -> Any:
    return 1 / (1 + np.exp(-(0.001 * amount - 0.1 + 0.2)))


def test_both_versions_are_compared_over_all_hours() -> None:
    store = MemoryCaptures()
    hours = [np.linspace(1, 400, 50), np.linspace(5, 800, 70)]
    for hour, amounts in enumerate(hours):
        put(store, amounts, hour=hour)
    put(store, [3, 4], hour=2, route="shadow")
    put(store, [3], hour=3, fallback=True)
    put(store, [3], hour=4, outcome="refused")
    found = rehearsed(store).document()
    amounts = np.concatenate(hours).astype(np.float32)
    before, after = np.asarray(live(amounts)), np.asarray(fragile(amounts))
    sd = np.std(before).item()
    assert found["captured"] == {
        "rows": 122,
        "scored": 121,
        "refused": 1,
        "failed": 0,
        "fallback": 1,
        "without_features": 0,
    }
    assert (found["model"], found["live"], found["candidate"]) == ("shop", 3, 4)
    assert (found["pairs"], found["failures"]) == (120, {"rows": 0, "share": 0.0})
    score = found["score"]
    expected = {
        "live_mean": before.mean(),
        "candidate_mean": after.mean(),
        "sd": sd,
        "shift": (after - before).mean() / sd,
        "distance": np.abs(after - before).mean() / sd,
    }
    assert {name: score[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    quantiles = np.quantile(np.abs(after - before) / sd, (0.5, 0.95, 0.99))
    assert list(score["quantiles"].values()) == pytest.approx(quantiles, rel=1e-4)
    assert sum(score["histogram"]["live"]) == sum(score["histogram"]["candidate"]) == 120
    changed = int(((before > 0.5) != (after > 0.5)).sum())
    assert found["labels"]["rows"] == 120
    assert (found["labels"]["changed"], found["labels"]["agreement"]) == (
        changed,
        1 - changed / 120,
    )
    assert all(found["latency_us"][name] > 0 for name in ("live", "candidate"))
    worst = np.argmax(np.abs(after - before))
    event = f"0-{worst}" if worst < 50 else f"1-{worst - 50}"
    assert found["worst"][0]["event"] == event
    assert len(found["worst"]) == 20
    assert set(found["worst"][0]) == {"event", "row", "live", "candidate", "failed"}
    json.dumps(found, allow_nan=False)


def test_rows_that_the_version_fails_on_come_first() -> None:
    store = MemoryCaptures()
    put(store, [0, 10, 0, 20] * 10)
    found = rehearsed(store).document()
    assert found["failures"] == {"rows": 20, "share": 0.5}
    assert found["score"]["rows"] == 20
    assert [one["failed"] for one in found["worst"]] == [True] * 20
    assert found["worst"][0] == {
        "event": "0-0",
        "row": 0,
        "live": pytest.approx(live(0)),
        "candidate": None,
        "failed": True,
    }


def test_labels_are_named_by_their_class() -> None:
    store = MemoryCaptures()
    put(store, np.full(40, 0.1))  # log(0.1) turns the sign
    (change,) = rehearsed(store).document()["labels"]["changes"]
    assert change == {"from": "cancelled", "to": "kept", "rows": 40}


def test_segments_that_differ_come_first() -> None:
    store = MemoryCaptures()
    # the two versions agree at 647, and not elsewhere
    put(store, np.full(200, 647.0), path="batch", hour=1)
    put(store, np.full(100, 5.0), path="online")
    segments = rehearsed(store).document()["segments"]
    of = {(one["by"], one["value"]): one for one in segments}
    assert of["path", "batch"]["rows"] == 200
    assert abs(of["path", "online"]["shift"]) > 10 * abs(of["path", "batch"]["shift"])
    assert segments[0]["value"] in ("online", 5.0)
    assert {one["by"] for one in segments} == {"path", "amount"}  # items and orders never vary


def test_a_rehearsal_of_the_same_model_finds_no_difference() -> None:
    store = MemoryCaptures()
    put(store, np.linspace(1, 900, 100))
    found = rehearsed(store, shop_graph()).document()
    assert found["score"]["shift"] == pytest.approx(0, abs=1e-6)
    assert found["labels"]["changed"] == 0


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "DRAWN", 50)
    store = MemoryCaptures()
    for hour in range(8):
        put(store, np.linspace(1, 900, 40), hour=hour)
    found = rehearsed(store).document()
    assert (found["pairs"], found["score"]["rows"]) == (320, 320)
    assert sum(found["score"]["histogram"]["live"]) == 50
    assert found["drawn"] == 50


@pytest.mark.parametrize(
    ("fixed", "said"),
    [
        (None, "no captures of the live version in that time; --since takes an earlier one"),
        ({"fallback": True}, r"none of 2 captured rows \(2 fallback\)"),
        ({"without_features": True}, r"none of 2 captured rows \(2 without features\)"),
    ],
)
def test_a_rehearsal_without_rows_says_why(fixed: dict[str, Any] | None, said: str) -> None:
    store = MemoryCaptures()
    if fixed is not None:
        put(store, [1, 2], **fixed)
    with pytest.raises(BadInput, match=said):
        rehearsed(store).document()


def test_a_live_version_with_sensitive_features_that_the_candidate_lacks_is_not_timed() -> None:
    secret = replace(LIVE.features[1], name="secret", sensitive=True)
    contract = replace(LIVE, features=(*LIVE.features, secret))
    store = MemoryCaptures()
    put(store, [1, 2, 3])
    live_model = OnnxModel(contract, shop_graph())
    candidate = OnnxModel(CANDIDATE, fragile_graph())
    found = rehearse(store, live_model, candidate, *ALL).document()
    assert found["pairs"] == 3
    assert found["latency_us"]["live"] is None
    assert found["latency_us"]["candidate"] > 0
