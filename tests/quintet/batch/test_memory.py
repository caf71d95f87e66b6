"""The peak of memory is this process's own."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3 import core
from arro3.io import read_parquet
from tests.kits.batch import CONTRACT, MODEL

from quintet.batch import memory
from quintet.batch.sinks import QuarantineLines, ScoreTable
from quintet.errors import Refusal
from quintet.formats import writers


def test_the_peak_stays_when_what_was_held_is_gone() -> None:
    held = b"\1" * (64 << 20)
    before = memory.peak_mb()
    del held
    # the kernel counts pages by processor, so to some pages only
    assert memory.peak_mb() == pytest.approx(before, abs=2)
    assert before > 64


def resident_mb() -> float:
    """The memory that this process has now, in MB."""
    _, _, rest = memory.STATUS.read_text().partition("VmRSS:")
    return int(rest.split()[0]) / 1024


def test_free_memory_below_a_block_in_use_is_given_back() -> None:
    memory.give_back()
    blocks = [b"\1" * 50_000 for _ in range(2_000)]
    last = b"\1" * 50_000
    del blocks
    held = resident_mb()
    memory.give_back()
    assert last and resident_mb() < held - 80


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

    def refused() -> QuarantineLines:
        quarantine = QuarantineLines()
        for row in range(5000):
            quarantine.add(row, f"c{row},n/a,1,de,0.5".encode(), reasons)
        return quarantine

    length = len(refused().take()[0])
    assert held_by(refused) < 2 * length


COUNT = 5000


def outputs() -> dict[str, Any]:
    """What a model may give for so many rows."""
    found = MODEL.contract.outputs
    zeros = {output.name: np.zeros((COUNT, *output.shape[1:])) for output in found}
    return {**zeros, "country_seen": np.full((COUNT, 1), "de", dtype=object)}


def keeping(texts: list[str | None]) -> ScoreTable:
    """So many scored rows, each with one of the texts."""
    table = ScoreTable(CONTRACT, 3, kept=["note"])
    notes = core.Array(texts, core.DataType.string())
    fallback = np.zeros(COUNT, dtype=np.bool_)
    table.add(np.arange(COUNT), None, outputs(), fallback, kept={"note": notes})
    return table


def test_kept_texts_are_no_objects_of_pythons() -> None:
    numbers = sum(values.nbytes for values in outputs().values()) + COUNT * 9

    def kept() -> ScoreTable:
        return keeping([f"the text of row {row}" for row in range(COUNT)])

    assert kept().held > COUNT * len("the text of row 0")
    assert held_by(kept) < numbers


@pytest.mark.parametrize("kinds", [1, 40, COUNT])
def test_only_texts_that_repeat_are_written_with_a_dictionary(
    kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"the text of kind {row % kinds}" if row % 7 else None for row in range(COUNT)]
    body, rows = keeping(texts).take("parquet")
    notes = read_parquet(io.BytesIO(body)).read_all().column("note").to_pylist()
    assert (rows, list(notes)) == (COUNT, texts)
    monkeypatch.setattr(writers, "SAMPLE_ROWS", 0)  # a dictionary of any
    with_dictionary, _ = keeping(texts).take("parquet")
    assert (body == with_dictionary) == (kinds < COUNT)
    assert len(body) <= len(with_dictionary)
