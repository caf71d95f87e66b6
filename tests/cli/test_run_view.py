"""How fast a run is, as people see it."""

from __future__ import annotations

import pytest

from quintet_cli.views.runs import pace


@pytest.mark.parametrize(
    ("rows", "left", "seconds", "expected"),
    [
        (0, 100, 5.0, ""),
        (10, 100, 0.0, ""),
        (12_000, 36_000, 4.0, "3,000 rows/s, 0:00:12 left"),
        (1, 100_000, 10.0, "0 rows/s, 11 days, 13:46:40 left"),
        (500, 0, 2.0, "250 rows/s, 0:00:00 left"),
    ],
)
def test_the_pace_tells_what_is_left(rows: int, left: int, seconds: float, expected: str) -> None:
    assert pace(rows, left, seconds) == expected
