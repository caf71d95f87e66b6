"""Every row is scored once, and as the model alone scores it, whatever dies on the way.

As `python -m benchmarks.batch_rows --rows 10000000 --disturbed`, with so many as
QUINTET_BATCH_ROWS says.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from benchmarks.batch_rows import run

ROWS = int(os.environ.get("QUINTET_BATCH_ROWS", "120000"))
#: two row groups
UNIT_BYTES = 4 << 20
PEAK_MB = 400


@pytest.mark.parametrize("disturbed", [False, True])
def test_a_run_over_many_files_scores_every_row_once(tmp_path: Path, disturbed: bool) -> None:
    found = run(ROWS, 1, tmp_path, disturbed=disturbed, unit_bytes=UNIT_BYTES)
    assert (found.scored, found.quarantined) == (ROWS, 0)
    assert found.scores == found.reference
    assert found.units > 2
    assert 0 < found.peak_mb < PEAK_MB
    # a quick run may have ended before it could be stopped; test_redrive.py holds it there
    assert found.attempts == 1 or disturbed
