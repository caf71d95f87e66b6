"""Growth and flat lines are distinguished, with noise and with a start."""

from __future__ import annotations

import random

import pytest
from tests.histories.steady import BOUNDS, WARM_UP, Series, slope, trends

HOUR = 3600.0
FUNCTION = "environment descriptors quintet-Work"


def series(growth: float, noise: float = 0.0, level: float = 50.0, start: float = 30.0) -> Series:
    """An hour of samples after a start of ten minutes; `growth` is in an hour."""
    draw, found = random.Random(1), Series()
    for at in range(0, int(HOUR), 10):
        warm = min(at / 600, 1.0) * start
        found.add(float(at), level + warm + growth * at / HOUR + draw.uniform(-noise, noise))
    return found


@pytest.mark.parametrize(("growth", "flat"), [(0.0, True), (20.0, True), (60.0, False)])
def test_a_slow_leak_is_found_under_noise(growth: float, flat: bool) -> None:
    (found,) = trends({"server threads": series(growth, noise=3.0)})
    assert found.flat == flat
    assert found.growth == pytest.approx(growth * (1 - WARM_UP), abs=1.5)


def test_the_function_that_grows_most_is_told() -> None:
    calm, leaking = series(0.5), series(9.0)
    found = trends({"environment descriptors quintet-Predict": calm, FUNCTION: leaking})
    assert [(one.name, one.flat) for one in found] == [(FUNCTION, False)]


def test_the_servers_memory_is_compared_with_what_was_done() -> None:
    done, memory = series(3600.0, start=0.0), series(90.0, start=0.0)
    found = trends({"operations": done, "server MiB": memory})
    (one,) = found
    assert one.name == "server KiB an operation"
    assert one.growth == pytest.approx(90 * 1024 / 3600)
    assert not one.flat and one.bound == BOUNDS[one.name]


def test_what_was_hardly_seen_is_left_out() -> None:
    few = Series([0.0, 5.0, 10.0], [1.0, 50.0, 900.0])
    assert trends({FUNCTION: few}) == []


def test_an_outlier_does_not_move_a_slope() -> None:
    times, values = [float(n) for n in range(50)], [1.0] * 50
    values[30] = 1e6
    assert slope(times, values) == 0.0
