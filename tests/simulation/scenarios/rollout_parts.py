"""The parts of the world of rollouts: the model, what is seen of a candidate, and who is told."""

from __future__ import annotations

from collections import Counter

import numpy as np
from tests.kits.evidence import paired

from quintet.contract import Gates, RolloutRule

__all__ = ["ENTITIES", "EVIDENCE", "MODEL", "PARTS", "RULE", "STEPS", "TIDY", "VERSIONS", "Topic"]

MODEL, VERSIONS, STEPS = "small", (1, 2, 3, 4), (0.1, 0.5, 1.0)
RULE = RolloutRule(
    minutes=2.0,
    max_minutes=20.0,
    watch_minutes=5.0,
    gates=Gates(crashes="off", errors="off", latency="off"),
)
#: what becomes of a candidate's rows: all well; many fail; some fail, just too few to say so, which
#: they would if a row counted twice, or if each gate had the whole alpha; none came
EVIDENCE = {
    "good": paired(2000),
    "bad": paired(200, candidate_failed=np.arange(200) < 40),
    "close": paired(2000, candidate_failed=np.isin(np.arange(2000), np.arange(100, 2000, 200))),
    "none": None,
}
#: parts in which evidence arrives
PARTS = 4
#: why somebody ends a rollout that stands still after the faults
TIDY = "tidy"
ENTITIES = [f"c{number}" for number in range(60)]


class Topic:
    """Where notices are published; each is counted."""

    def __init__(self) -> None:
        self.sent = Counter[tuple[int, str]]()

    def publish(self, revision: int, event: str) -> None:
        """Publish a notice."""
        self.sent[revision, event] += 1
