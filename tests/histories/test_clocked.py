"""The moved clock is the machine's and a number of seconds, and makes plain moments."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest
from tests.histories.clocked import Clock, moved

NOW = 1_800_000_000


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Fifty seconds behind a clock that stands still."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.setattr(time, "time_ns", lambda: NOW * 10**9)
    path = tmp_path / "clock"
    path.write_text("-50")
    return Clock(path)


def test_seconds_are_moved(clock: Clock) -> None:
    assert (clock.time(), clock.time_ns()) == (NOW - 50.0, (NOW - 50) * 10**9)


def test_moments_are_moved_and_of_the_real_class(clock: Clock) -> None:
    real = datetime.datetime
    found = moved(real, clock)
    now = found.now(datetime.UTC)
    assert (type(now), now.timestamp()) == (real, NOW - 50.0)
    assert found.utcnow() == now.replace(tzinfo=None)
    assert found.fromtimestamp(NOW, datetime.UTC).timestamp() == NOW
    assert type(found(2026, 1, 1)) is real
    assert isinstance(real(2026, 1, 1), found) and issubclass(real, found)
