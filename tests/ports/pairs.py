"""Every port with a version in memory and an adapter on AWS."""

from __future__ import annotations

from tests.ports.batch_pairs import BATCH_PAIRS
from tests.ports.capture_pairs import CAPTURE_PAIRS
from tests.ports.job_pairs import JOB_PAIRS
from tests.ports.replay_pairs import REPLAY_PAIRS
from tests.ports.stream_pairs import STREAM_PAIRS

__all__ = ["CALLS", "PAIRS"]

PAIRS = {**JOB_PAIRS, **STREAM_PAIRS, **BATCH_PAIRS, **CAPTURE_PAIRS, **REPLAY_PAIRS}
#: the name of each pair with each of its operations
CALLS = [(name, call) for name, pair in PAIRS.items() for call in pair.calls]
