"""The stored features of captures: freshness, skew and distribution of a version on a day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.kits.captures import CAPTURED, delivery, lines_of
from tests.kits.models import LOG, NOW, SHOP

from quintet.captures.delivery import deliver
from quintet.captures.history import add_history, read_history
from quintet.captures.store import MemoryCaptures
from quintet.captures.stored import stored_features
from quintet.contract import Capture
from quintet.errors import BadInput
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.samples import Reference
from quintet.monitoring.skew import History
from quintet_cli.views.skew import skew_view

DAY = (NOW - 43_200, NOW + 43_200)
REFERENCE = Reference(CAPTURED, {})
#: of a customer with a value, one with a value that is too old, and one without
ROWS: list[dict[str, Any]] = [
    {"customer": "c1", "amount": 100},
    {"customer": "c2", "amount": 5},
    {"customer": "c3", "amount": 5},
]


def served() -> MemoryCaptures:
    store = MemoryCaptures()
    deliver(delivery([*lines_of("e1", ROWS), *lines_of("e2", [{"amount": 20_000}])]), store)
    return store


def load(store: MemoryCaptures, now: float, *rows: tuple[str, float, float, float]) -> None:
    """Load rows of (entity, at, known_at, orders_90d)."""
    who, at, known, values = (np.array(column) for column in zip(*rows, strict=True))
    there = np.ones(len(rows), dtype=np.bool_)
    history = History(
        who, at, known, {"orders_90d": values.astype(np.float32)}, {"orders_90d": there}
    )
    add_history(store, "customer", now, history)


def test_served_values_are_compared_with_all_files_that_were_loaded() -> None:
    store = served()
    load(store, NOW - 500, ("c1", NOW - 600, NOW - 550, 4), ("c2", NOW - 86_400, NOW - 550, 9))
    load(store, NOW + 500, ("c1", NOW - 60, NOW + 400, 5), ("c3", NOW - 60, NOW - 30, 1))
    load(store, NOW + 600, ("c3", NOW - 60, NOW - 30, 1))
    found = stored_features(store, REFERENCE, *DAY)
    (fresh,) = found.pop("freshness")
    assert (fresh["rows"], fresh["missing"], fresh["too_old"]) == (3, 1 / 3, 1 / 3)
    assert fresh["oldest"] == 86_400
    assert found == {
        "model": "shop",
        "version": 3,
        "rows": 3,
        "skew": [
            {
                "feature": "orders_90d",
                "rows": 3,
                "skewed": 1 / 3,
                "exact": 1,
                "within": 0,
                "different": 0,
                "missing_served": 1,
                "missing_offline": 0,
                "missing_both": 1,  # c2: too old on both sides
                "behind": 1,
                "by_event_time": False,
            }
        ],
        "drift": None,
    }


def test_a_day_without_captures_is_empty() -> None:
    found = stored_features(MemoryCaptures(), REFERENCE, *DAY)
    assert (found["rows"], found["freshness"], found["drift"]) == (0, [], None)
    assert [one["rows"] for one in found["skew"]] == [0]
    assert stored_features(served(), REFERENCE, DAY[1], DAY[1] + 1)["rows"] == 0


def test_values_are_compared_with_the_training_data() -> None:
    values = np.linspace(0, 100, 500, dtype=np.float32)
    reference = Reference(CAPTURED, baseline_of(CAPTURED, {"orders_90d": values}))
    drift = stored_features(served(), reference, *DAY)["drift"]
    assert (drift["rows"], drift["too_few"]) == (1, True)  # the fallback rule answered the others
    assert [one["feature"] for one in drift["features"]] == ["orders_90d"]


def test_sensitive_features_have_ages_and_no_values() -> None:
    features = (*SHOP.features[:2], replace(SHOP.features[2], sensitive=True))
    contract = replace(CAPTURED, features=features)
    store = MemoryCaptures()
    deliver(delivery(lines_of("e1", ROWS[:1], contract=contract)), store)
    load(store, NOW - 500, ("c1", NOW - 600, NOW - 550, 4))
    found = stored_features(store, Reference(contract, {}), *DAY)
    assert [one["oldest"] for one in found["freshness"]] == [600]
    assert [one["not_compared"] for one in found["skew"]] == ["not captured"]


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (replace(LOG, capture=Capture()), "stored features"),
        (SHOP, "capture"),
    ],
)
def test_a_model_without_what_is_compared_is_refused(contract: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        stored_features(MemoryCaptures(), Reference(contract, {}), *DAY)


def test_a_file_with_values_of_another_type_is_named() -> None:
    store = served()
    values = {"orders_90d": np.array(["many"], dtype=object)}
    there = {"orders_90d": np.ones(1, dtype=np.bool_)}
    at = np.array([NOW - 600])
    key = add_history(store, "customer", NOW, History(np.array(["c1"]), at, at, values, there))
    with pytest.raises(BadInput, match=f"orders_90d: expected values of float32.*others in {key}"):
        stored_features(store, REFERENCE, *DAY)


def test_of_the_files_the_rows_of_served_entities_are_read() -> None:
    store = served()
    for ago in (500, 400):
        load(store, NOW - ago, *((f"other{n}", NOW - 600, NOW - ago - 50, n) for n in range(50)))
    skew = stored_features(store, REFERENCE, *DAY)["skew"]
    (one,) = skew  # it was loaded, and not for the entities that were served
    assert (one["rows"], one["exact"], one["missing_offline"] + one["missing_both"]) == (3, 0, 3)
    kept = read_history(store, "customer", CAPTURED.stored, {"other7"})
    assert kept.entities.tolist() == ["other0", "other7"] * 2  # the first row tells it was loaded
    load(store, NOW - 300, ("c1", NOW - 600, NOW - 550, 4))
    kept = read_history(store, "customer", CAPTURED.stored, {"c1", "other9"})
    assert kept.entities.tolist() == ["other0", "other9"] * 2 + ["c1"]


def printed(store: MemoryCaptures, reference: Reference) -> str:
    console = Console(width=140, force_terminal=False)
    with console.capture() as found:
        for part in skew_view({**stored_features(store, reference, *DAY), "day": "2023-11-14"}):
            console.print(part)
    return found.get()


def test_a_day_is_printed() -> None:
    store = served()
    text = printed(store, REFERENCE)
    assert "shop version 3, 2023-11-14 (UTC): 3 captured rows with stored features" in text
    assert "orders_90d is not compared: never loaded from a file" in text
    load(store, NOW - 500, ("c1", NOW - 600, np.nan, 4))
    text = printed(store, REFERENCE)
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "orders_90d 60.0 min 12.1 h 22.8 h 23.8 h 24.0 h 2281% aging 33.3% 33.3%" in lines
    assert "orders_90d 0.00% 1 0 0 0 0 2 0" in lines
    assert "by event time only: orders_90d" in text
    assert "captures arrive within a minute" in printed(MemoryCaptures(), REFERENCE)
