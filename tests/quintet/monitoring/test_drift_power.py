"""How often drift is called: a small version of benchmarks/drift_power.py, from the same seeds."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.drift_power import frozen, relabelled, rescored, share, shifted, swapped

DAYS = 25


@pytest.mark.parametrize("entity", [None, "customer"])
@pytest.mark.parametrize("rows", [200, 1_000])
def test_days_without_drift_are_not_called(entity: str | None, rows: int) -> None:
    assert share(entity, rows, DAYS) <= 0.04


def test_rows_of_entities_would_be_called_if_they_counted_as_independent() -> None:
    assert share("customer", 1_000, 5, by_rows=True) == 1


def test_shifts_are_found_and_small_ones_are_not_called() -> None:
    assert share(None, 200, DAYS, shifted(0.5)) >= 0.9
    assert share(None, 1_000, DAYS, shifted(0.3)) >= 0.9
    assert share(None, 10_000, 5, shifted(0.1)) == 0


@pytest.mark.parametrize("change", [frozen, swapped, rescored, relabelled])
def test_other_changes_are_found(change: object) -> None:
    assert share(None, 1_000, 5, change) == 1  # type: ignore[arg-type]


def test_a_shift_of_entities_is_found_too() -> None:
    assert share("customer", 2_000, 5, shifted(np.sqrt(0.5))) == 1
