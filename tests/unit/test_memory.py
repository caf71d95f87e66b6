"""The peak of memory is this process's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.batch import memory


def test_the_peak_stays_when_what_was_held_is_gone() -> None:
    held = b"\1" * (64 << 20)
    before = memory.peak_mb()
    del held
    # the kernel counts pages by processor, so to some pages only
    assert memory.peak_mb() == pytest.approx(before, abs=2)
    assert before > 64


def test_it_is_known_without_proc_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "STATUS", tmp_path / "nothing")
    assert memory.peak_mb() > 10
