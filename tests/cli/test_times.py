"""Moments in tables."""

from __future__ import annotations

import pytest

from quintet_cli.views.times import shown_time


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (1_700_000_000.9, "2023-11-14 22:13:20Z"),
        (0, "1970-01-01 00:00:00Z"),
        ("2026-12-01T05:12:42Z", "2026-12-01 05:12:42Z"),
        ("2026-12-01T06:12:42.123456+01:00", "2026-12-01 05:12:42Z"),
        ("2026-12-01T05:12:42", "2026-12-01 05:12:42Z"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_moment_is_shown_to_the_second_in_utc(moment: float | str | None, shown: str) -> None:
    assert shown_time(moment) == shown
