"""Watch the error budgets of a stage's models: gather counts, decide, report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from quintet.contract import Slo
from quintet.monitoring.burn import STEP, WINDOWS, Burn, Counts, Pair, burn, burning, newly

__all__ = ["CountSource", "MemoryCounts", "Watched", "notice", "reasons", "watch"]

#: seconds after which a step's counts are complete: log lines become metrics with a delay
DELAY = 60


class CountSource(Protocol):
    """The counts of requests."""

    def read(
        self, models: Sequence[str], end: float, *, steps: int, seconds: int
    ) -> dict[str, Counts]:
        """The counts of models in steps up to `end`.

        Raises:
            Transient: they could not be read.
        """
        ...


class MemoryCounts:
    """Counts in memory, zero for other models; `end` is when their last step ends."""

    def __init__(self, end: float, counts: Mapping[str, Counts]) -> None:
        self.end = end
        self.counts = counts

    def read(
        self, models: Sequence[str], end: float, *, steps: int, seconds: int
    ) -> dict[str, Counts]:
        """See `CountSource.read`."""
        assert (end, seconds) == (self.end, STEP)
        none = Counts(*np.zeros((4, steps)))
        return {model: self.counts.get(model, none) for model in models}


@dataclass(frozen=True, slots=True)
class Watched:
    """Each model's burns by window; the models that burn by pair, and those that just began to."""

    burns: Mapping[str, Mapping[str, Burn]]
    burning: Mapping[Pair, Sequence[str]] = field(default_factory=dict)
    newly: Mapping[Pair, Sequence[str]] = field(default_factory=dict)


def watch(slos: Mapping[str, Slo], source: CountSource, now: float) -> Watched:
    """The burns of models, by name, up to the last step that is complete.

    Raises:
        Transient: the counts could not be read.
    """
    end = (now - DELAY) // STEP * STEP
    steps = max(WINDOWS.values()) // STEP + 1  # and one more, to see what just began
    counts = source.read(sorted(slos), end, steps=steps, seconds=STEP)
    burns: dict[str, dict[str, Burn]] = {}
    burn_now: dict[Pair, list[str]] = {}
    began: dict[Pair, list[str]] = {}
    for model in sorted(slos):
        slo, of_model = slos[model], counts[model]
        if found := burn(slo, of_model):
            burns[model] = found
        for pair in burning(found):
            burn_now.setdefault(pair, []).append(model)
        for pair in newly(slo, of_model):
            began.setdefault(pair, []).append(model)
    return Watched(burns, burn_now, began)


def notice(watched: Watched, stage: str, slos: Mapping[str, Slo]) -> tuple[str, str]:
    """The subject (at most 100 ASCII characters) and the text that name what began to burn."""
    models = sorted({model for names in watched.newly.values() for model in names})
    worst = "page" if any(pair.severity == "page" for pair in watched.newly) else "ticket"
    subject = f"Quintet {stage}: error budget burns ({worst}): {', '.join(models)}"
    lines = [f"{model}: {reason}" for model, reason in reasons(watched, slos)]
    lines.append(f"quintet slo --stage {stage} shows what is left of each budget.")
    return subject if len(subject) <= 100 else subject[:97] + "...", "\n".join(lines)


def reasons(watched: Watched, slos: Mapping[str, Slo]) -> Iterator[tuple[str, str]]:
    """What began to burn: each model with the reason, the fastest pair of windows first."""
    for pair, names in watched.newly.items():
        for model in names:
            said = _said(watched.burns[model][pair.long], slos[model])
            yield model, f"{said} in {pair.long}; {pair.severity}"


def _said(one: Burn, slo: Slo) -> str:
    counts = one.counts
    if one.of == "availability":
        what = f"{counts.failed:,.0f} of {counts.requests:,.0f} requests failed"
        return f"{what}, {one.rate:.1f} times what {slo.availability:g} allows"
    answered = counts.requests - counts.failed
    what = f"{counts.slow:,.0f} of {answered:,.0f} answers took longer than {slo.p95_ms:g} ms"
    return f"{what}, {one.rate:.1f} times the 5 % allowed"
