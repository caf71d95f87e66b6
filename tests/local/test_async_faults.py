"""Jobs under fire: nothing is lost, nothing ends twice, everything is told under one id.

As `python -m benchmarks.async_faults --jobs 20000`, with so many as QUINTET_ASYNC_JOBS says.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.async_faults import run

JOBS = int(os.environ.get("QUINTET_ASYNC_JOBS", "120"))
SEED = 8


def test_jobs_come_to_one_right_end_whatever_fails(tmp_path: Path) -> None:
    found = run(JOBS, SEED, tmp_path, patience=240)
    assert found.good, found
    assert (found.jobs, found.states) == (JOBS, {"DONE": JOBS})
    # the faults were there
    for fault in ("dynamodb.error", "dynamodb.lost_reply", "sqs.duplicate", "kill"):
        assert found.happened[fault] > 0
