"""A stream under fire: every record once in the sink, poison kept, windows that sum up.

As `python -m benchmarks.stream_faults --records 100000`; QUINTET_STREAM_RECORDS says how many.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.stream_faults import run

RECORDS = int(os.environ.get("QUINTET_STREAM_RECORDS", "2000"))
POISON = 20
BATCH = 40
#: of which each fault comes among the first batches of a shard
SEED = 126


def test_every_record_is_scored_once_whatever_fails(tmp_path: Path) -> None:
    found = run(RECORDS, POISON, SEED, tmp_path, patience=60, batch=BATCH)
    assert found.good, found
    assert (found.records, found.poison, found.shards) == (RECORDS, POISON, 6)
    # the faults were there
    assert {name for name in found.happened if name.startswith("kinesis.")} == {
        "kinesis.not_called",
        "kinesis.answer_lost",
        "kinesis.twice",
    }
