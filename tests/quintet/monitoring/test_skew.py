"""Skew: served values against the offline source, as of the moment they were served."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quintet.contract import Feature
from quintet.monitoring.skew import History, Served, as_of, skew_of

NAN = float("nan")
SPEND = Feature(name="spend", dtype="float32", source="store")


def slowly(
    rows: list[tuple[int, float, float]], wanted: list[tuple[int, float]]
) -> list[tuple[float, float]]:
    """The same as `as_of` row by row: (at, known_at) of what is found, else (-1, -1)."""
    found = []
    for who, when in wanted:
        seen = [
            (at, -1.0 if np.isnan(known) else known, -place)
            for place, (entity, at, known) in enumerate(rows)
            if entity == who and at <= when and not known > when
        ]
        found.append(max(seen)[:2] if seen else (-1.0, -1.0))
    return found


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rows_are_found_as_they_were_known(share: float) -> None:
    random = np.random.default_rng(7)
    rows = [
        (int(random.integers(20)), float(random.integers(50)), float(random.integers(60)))
        for _ in range(400)
    ]
    rows = [(who, at, NAN if random.random() < share else known) for who, at, known in rows]
    wanted = [(int(random.integers(25)), float(random.integers(-5, 65))) for _ in range(500)]
    entities, at, known = (np.array(column) for column in zip(*rows, strict=True))
    who, when = (np.array(column) for column in zip(*wanted, strict=True))
    place = as_of((entities, at, known), (who, when))
    found = [
        (-1.0, -1.0) if p < 0 else (float(at[p]), float(np.nan_to_num(known[p], nan=-1.0)))
        for p in place.tolist()
    ]
    assert found == slowly(rows, wanted)


def test_nothing_is_found_in_no_rows_and_for_no_wanted() -> None:
    none = np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    assert as_of(none, (np.array([1]), np.array([1.0]))).tolist() == [-1]
    some = np.array([1]), np.array([1.0]), np.array([NAN])
    assert as_of(some, (none[0], none[1])).tolist() == []


def served(at: float, **rows: tuple[float, float]) -> Served:
    """Rows of entities served at one time, each as (value, age)."""
    values, ages = zip(*rows.values(), strict=True)
    return Served(
        np.array(list(rows)),
        np.full(len(rows), at),
        {"spend": np.array(values, dtype=np.float32)},
        {"spend": np.array(ages, dtype=np.float64)},
        np.zeros(len(rows), dtype=np.bool_),
    )


def history(*rows: tuple[str, float, float, float]) -> History:
    """Rows of (entity, at, known_at, spend)."""
    who, at, known, values = zip(*rows, strict=True)
    return History(
        np.array(who),
        np.array(at, dtype=np.float64),
        np.array(known, dtype=np.float64),
        {"spend": np.array(values, dtype=np.float32)},
        {"spend": np.ones(len(rows), dtype=np.bool_)},
    )


def test_each_row_is_exact_within_tolerance_different_or_missing_on_a_side() -> None:
    source = history(
        ("same", 100, 110, 5),
        ("near", 100, 110, 1.0000001),
        ("other", 100, 110, 3),
        ("late", 100, 110, 1),
        ("late", 900, 910, 2),
        ("future", 100, 110, 1),
        ("future", 900, 1001, 2),  # not known yet when the row was served
        ("unloaded", 100, 110, 1),
    )
    rows = served(
        1000,
        same=(5, 900),
        near=(1.0, 900),
        other=(4, 900),
        late=(1, 900),
        future=(1, 900),
        unloaded=(0, NAN),
        online=(7, 10),
        nowhere=(0, NAN),
    )
    assert skew_of([SPEND], rows, source) == [
        {
            "feature": "spend",
            "rows": 8,
            "skewed": 4 / 8,
            "exact": 2,
            "within": 1,
            "different": 2,
            "missing_served": 1,
            "missing_offline": 1,
            "missing_both": 1,
            "behind": 2,
            "by_event_time": False,
        }
    ]


def test_by_event_time_alone_a_value_counts_from_the_time_that_it_describes() -> None:
    rows = served(1000, e=(1, 900))
    (known,) = skew_of([SPEND], rows, history(("e", 100, 110, 1), ("e", 900, 1001, 2)))
    assert (known["exact"], known["by_event_time"]) == (1, False)
    (by_time,) = skew_of([SPEND], rows, history(("e", 100, NAN, 1), ("e", 900, NAN, 2)))
    assert (by_time["different"], by_time["behind"], by_time["by_event_time"]) == (1, 1, True)


@pytest.mark.parametrize(
    ("when_stale", "expected"),
    [
        ("refuse", {"missing_both": 1, "missing_offline": 0, "exact": 0}),
        ("serve", {"missing_both": 0, "missing_offline": 0, "exact": 1}),
    ],
)
def test_a_value_older_than_the_contract_allows_is_missing(
    when_stale: Any, expected: dict[str, int]
) -> None:
    feature = Feature(
        name="spend", dtype="float32", source="store", max_age=600, when_stale=when_stale
    )
    (found,) = skew_of([feature], served(1000, e=(5, 900)), history(("e", 100, 110, 5)))
    assert {name: found[name] for name in expected} == expected


def test_what_was_not_captured_or_never_loaded_is_not_compared() -> None:
    other = Feature(name="other", dtype="float32", source="store")
    rows, source = served(1000, e=(5, 900)), history(("e", 100, 110, 5))
    unloaded = History(
        source.entities, source.at, source.known_at, source.values, {"spend": np.zeros(1, np.bool_)}
    )
    assert skew_of([SPEND], rows, unloaded) == [
        {"feature": "spend", "rows": 0, "skewed": None, "not_compared": "never loaded from a file"}
    ]
    hidden = History(
        source.entities,
        source.at,
        source.known_at,
        {"other": source.values["spend"]},
        {"other": source.there["spend"]},
    )
    assert skew_of([other], rows, hidden) == [
        {"feature": "other", "rows": 0, "skewed": None, "not_compared": "not captured"}
    ]
