"""The peak of memory is this process's own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from arro3 import core
from tests.batch_kit import CONTRACT, MODEL

from quintet.batch import memory
from quintet.batch.sinks import Quarantine, ScoreTable
from quintet.errors import Refusal


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


def held_by(make: Callable[[], object]) -> int:
    """The bytes of Python's own memory that what is made holds."""
    tracemalloc.start()
    try:
        made = make()
        size, _ = tracemalloc.get_traced_memory()
        assert made is not None
        return size
    finally:
        tracemalloc.stop()


def test_refused_rows_are_held_in_about_their_own_length() -> None:
    reasons = [Refusal(None, "amount", "a number (float32)", "'n/a'")]

    def refused() -> Quarantine:
        quarantine = Quarantine()
        for row in range(5000):
            quarantine.add(row, {"text": f"c{row},n/a,1,de,0.5"}, reasons)
        return quarantine

    length = len(refused().take()[0])
    assert held_by(refused) < 2 * length


def test_kept_texts_are_no_objects_of_pythons() -> None:
    scores, count = MODEL.contract.outputs, 5000
    outputs = {output.name: np.zeros((count, *output.shape[1:])) for output in scores}
    outputs["country_seen"] = np.full((count, 1), "de", dtype=object)
    rows, fallback = np.arange(count), np.zeros(count, dtype=np.bool_)
    numbers = sum(values.nbytes for values in outputs.values()) + rows.nbytes + fallback.nbytes

    def kept() -> ScoreTable:
        table = ScoreTable(CONTRACT, 3, kept=["note"])
        texts: list[str | None] = [f"the text of row {row}" for row in range(count)]
        notes = core.Array(texts, core.DataType.string())
        table.add(rows, None, outputs, fallback, kept={"note": notes})
        return table

    assert kept().held > count * len("the text of row 0")
    assert held_by(kept) < numbers
