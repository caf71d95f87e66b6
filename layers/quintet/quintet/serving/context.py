"""What is known of one request while it is answered: the log line and the metrics come of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ModelStats", "RequestContext", "Step"]

Step = Literal["load_ms", "decode_ms", "features_ms", "score_ms"]


@dataclass(slots=True)
class RequestContext:
    """One request, as far as it has come. It holds counts, names and times, never values.

    `version` is 0 until the model is known. `cache` is "hit" or "miss" where the model's
    contract has the prediction cache on; `job` is the one that was accepted. `times` are in
    milliseconds by step.
    """

    id: str = ""
    trace_id: str = ""
    model: str = ""
    version: int = 0
    route: str = ""
    rows: int = 0
    refused: int = 0
    fallback: int = 0
    cache: str = ""
    job: str = ""
    times: dict[Step, float] = field(default_factory=dict)
    timer: Callable[[], float] = time.perf_counter
    started: float = field(init=False)
    _lapped: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self._lapped = self.timer()

    def lap(self, step: Step) -> None:
        """The time since the last lap went into `step`."""
        now = self.timer()
        self.times[step] = self.times.get(step, 0.0) + (now - self._lapped) * 1000
        self._lapped = now

    def total_ms(self) -> float:
        """Milliseconds since the request came."""
        return (self.timer() - self.started) * 1000


@dataclass(slots=True)
class ModelStats:
    """What one model did in this execution environment; `last` is seconds since the epoch."""

    rows: int = 0
    runs: int = 0
    score_ms: float = 0.0
    last: float = 0.0
