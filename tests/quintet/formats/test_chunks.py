"""How many rows of a file run together."""

from __future__ import annotations

from dataclasses import replace

from tests.kits.batch import CONTRACT

from quintet.contract import Output
from quintet.formats.chunks import CHUNK_ROWS, MIN_CHUNK_ROWS, cuts

WIDE = replace(
    CONTRACT,
    outputs=(Output(name="ids", dtype="int32", shape=(-1, 500), meaning="value"),),
)
WIDEST = replace(
    CONTRACT,
    outputs=(Output(name="map", dtype="float32", shape=(-1, -1), max=100_000, meaning="value"),),
)


def test_rows_with_large_outputs_run_in_smaller_chunks() -> None:
    sizes = {
        name: max(cut.stop - cut.start for cut in cuts(contract, 100_000, 1_000_000))
        for name, contract in (("small", CONTRACT), ("wide", WIDE), ("widest", WIDEST))
    }
    assert CHUNK_ROWS * 0.9 < sizes["small"] <= CHUNK_ROWS
    assert 1_000 < sizes["wide"] <= (2 << 20) // 2_000
    assert sizes["widest"] <= MIN_CHUNK_ROWS
    joined = [n for cut in cuts(WIDE, 5_000, 5_000) for n in range(cut.start, cut.stop)]
    assert joined == list(range(5_000))
