"""Jobs under fire: nothing is lost, nothing ends twice, everything is told under one id.

As `python -m benchmarks.async_faults --jobs 20000`, with so many as QUINTET_ASYNC_JOBS says, and by
a fast clock: a job of a killed worker waits for its lease, an event that was lost for the sweep.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from benchmarks.async_faults import run
from standardwebhooks import webhooks
from tests.histories.clocked import moved
from tests.kits.hurried import Fast, through

JOBS = int(os.environ.get("QUINTET_ASYNC_JOBS", "120"))
SEED = 8
#: how fast the clock is: a lease of 35 s is over in four
RATE = 8.0


def test_jobs_come_to_one_right_end_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Fast(time.time(), RATE)
    monkeypatch.setattr(webhooks, "datetime", moved(datetime, clock))  # as who signed
    found = run(JOBS, SEED, tmp_path, patience=240, through=through(clock))
    assert found.good, found
    assert (found.jobs, found.states) == (JOBS, {"DONE": JOBS})
    # the faults were there
    for fault in ("dynamodb.error", "dynamodb.lost_reply", "sqs.duplicate", "kill"):
        assert found.happened[fault] > 0
