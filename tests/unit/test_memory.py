"""The peak of memory is this process's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.batch import memory


def test_the_peak_rises_with_what_is_held_and_does_not_fall() -> None:
    held = b"\1" * (64 << 20)
    peak = memory.peak_mb()
    assert peak > len(held) >> 20
    del held
    assert memory.peak_mb() >= peak


def test_it_is_known_without_proc_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "STATUS", tmp_path / "nothing")
    assert memory.peak_mb() > 10
