"""Freshness: the ages of stored features at serving, against what their contract allows."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.contract import Feature
from quintet.monitoring.freshness import freshness_of
from quintet.monitoring.skew import Served

NAN = float("nan")


def served(**ages: list[float]) -> Served:
    rows = len(next(iter(ages.values())))
    return Served(
        np.array(["e"] * rows),
        np.zeros(rows),
        {},
        {name: np.array(some, dtype=np.float64) for name, some in ages.items()},
        np.zeros(rows, dtype=np.bool_),
    )


def feature(name: str, max_age: float | None) -> Feature:
    return Feature(name=name, dtype="float32", source="store", max_age=max_age)


def test_ages_are_shown_against_max_age_the_nearest_first() -> None:
    ages = list(map(float, range(1, 101)))
    rows = served(slow=[*ages, NAN, NAN, NAN, NAN], free=[*ages, *ages[:4]], quick=[1.0] * 104)
    found = freshness_of([feature("quick", 100), feature("free", None), feature("slow", 98)], rows)
    assert [one["feature"] for one in found] == ["slow", "quick", "free"]
    slow, quick, free = found
    assert slow == {
        "feature": "slow",
        "max_age": 98,
        "rows": 104,
        "missing": 4 / 104,
        "too_old": 2 / 104,
        "p50": 50.5,
        "p95": pytest.approx(95.05),
        "p99": pytest.approx(99.01),
        "oldest": 100.0,
        "used": pytest.approx(95.05 / 98),
        "aging": True,
    }
    assert (quick["used"], quick["aging"], quick["too_old"]) == (0.01, False, 0.0)
    assert (free["used"], free["aging"], free["oldest"]) == (None, False, 100.0)


def test_features_without_any_value_have_no_ages() -> None:
    (found,) = freshness_of([feature("f", 10)], served(f=[NAN, NAN]))
    assert (found["missing"], found["p50"], found["oldest"], found["used"]) == (
        1.0,
        None,
        None,
        None,
    )
    (none,) = freshness_of([feature("f", 10)], served(f=[]))
    assert (none["rows"], none["missing"], none["aging"]) == (0, 0.0, False)
    assert freshness_of([feature("later", 10)], served(f=[1.0])) == []
