"""Error budgets: how fast requests spend them, over several windows, and which models to report.

A request spends budget if it failed (availability), or if it was answered later than `p95_ms`
(latency, whose budget is 5 % of requests). Requests refused for what the caller sent do not count.

The windows and rates: https://sre.google/workbook/alerting-on-slos/ (multiwindow, multi-burn-rate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quintet.contract import Slo

__all__ = [
    "LEAST",
    "PAIRS",
    "STEP",
    "WINDOWS",
    "Burn",
    "Counts",
    "Pair",
    "burn",
    "burning",
    "newly",
]

#: seconds that one count covers
STEP = 300
#: seconds of each window
WINDOWS: Mapping[str, int] = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21_600, "3d": 259_200}
#: requests below which a window has no burn: one failure of a few would spend any budget
LEAST = 50
#: the share of requests that may be answered later than `p95_ms`
SLOW = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """Report a model whose budget burns `rate` times too fast over a long and a short window.

    The long window says that it matters, the short one that it still goes on.
    """

    name: Literal["fast", "medium", "slow"]
    long: str
    short: str
    rate: float
    severity: Literal["page", "ticket"]


PAIRS = (
    Pair("fast", "1h", "5m", 14.4, "page"),
    Pair("medium", "6h", "30m", 6.0, "page"),
    Pair("slow", "3d", "6h", 1.0, "ticket"),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """A model's requests by step, the newest last: each (steps,) float64.

    `refused` are those refused for what the caller sent, `slow` those answered later than `p95_ms`.
    """

    requests: NDArray[np.float64]
    refused: NDArray[np.float64]
    failed: NDArray[np.float64]
    slow: NDArray[np.float64]

    def last(self, steps: int, before: int = 0) -> Burned:
        """The sums of the last steps, `before` steps ago."""
        end = len(self.requests) - before
        some = slice(max(0, end - steps), end)
        asked, failed = self.requests[some].sum(), self.failed[some].sum()
        valid = max(0.0, float(asked - self.refused[some].sum()))
        return Burned(valid, float(failed), float(self.slow[some].sum()))


@dataclass(frozen=True, slots=True)
class Burned:
    """Requests of a window that count, and those that spent budget."""

    requests: float
    failed: float
    slow: float

    def availability(self, slo: Slo) -> float:
        """How many times too fast failures spend the budget; 0 without requests."""
        return self._rate(self.failed, self.requests, 1 - slo.availability)

    def latency(self) -> float:
        """How many times too fast slow answers spend the budget."""
        return self._rate(self.slow, self.requests - self.failed, SLOW)

    @staticmethod
    def _rate(bad: float, of: float, budget: float) -> float:
        return bad / of / budget if of > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Burn:
    """A model's burn over a window, by the objective `of`; 1 spends the budget exactly."""

    rate: float
    of: Literal["availability", "latency"]
    counts: Burned


def burn(slo: Slo, counts: Counts, before: int = 0) -> dict[str, Burn]:
    """The burn over each window that has `LEAST` requests; `before` steps ago."""
    found = {}
    for name, seconds in WINDOWS.items():
        counted = counts.last(seconds // STEP, before)
        if counted.requests < LEAST:
            continue
        availability, latency = counted.availability(slo), counted.latency()
        if availability >= latency:
            found[name] = Burn(availability, "availability", counted)
        else:
            found[name] = Burn(latency, "latency", counted)
    return found


def burning(burns: Mapping[str, Burn]) -> Iterator[Pair]:
    """The pairs in both of whose windows a model's budget burns too fast."""
    for pair in PAIRS:
        both = (burns.get(pair.long), burns.get(pair.short))
        if all(one is not None and one.rate >= pair.rate for one in both):
            yield pair


def newly(slo: Slo, counts: Counts) -> list[Pair]:
    """The pairs in which a model burns, and did not one step before."""
    before = {pair.name for pair in burning(burn(slo, counts, before=1))}
    return [pair for pair in burning(burn(slo, counts)) if pair.name not in before]
