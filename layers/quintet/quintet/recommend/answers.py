"""A recommendation: what the caller gets of it, and what is kept as its impression. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from quintet.columns import Array
from quintet.recommend.exploration import explored
from quintet.recommend.reads import Shown
from quintet.recommend.requests import Asked
from quintet.serving import RequestContext

__all__ = ["Recommendation"]


@dataclass(slots=True, kw_only=True)
class Recommendation:
    """An answer: `step` of the ladder, and why it is not the first one, or not whole (`why`).

    `model` makes the candidates, whose run started `age` seconds ago; they are `stale` if the
    contract says so. `items` are in the order in which they are shown, with their `scores` by
    `places`, in the order of `ranked`. `impression` is the id of the impression, empty if none is
    kept.
    """

    asked: Asked
    model: str
    shown: Shown
    age: float
    stale: bool
    step: str
    why: str
    items: list[int]
    scores: Array | None
    filtered: dict[str, list[int]]
    impression: str = ""
    ranked: list[int] = field(init=False)
    propensity: list[float] = field(init=False)
    explored: bool = False

    def __post_init__(self) -> None:
        self.ranked = self.items
        self.propensity = [1.0] * len(self.items)

    def explore(self, share: float) -> None:
        """Show the items in random order, with the probability `share`."""
        order = explored(self.impression, len(self.items), share)
        self.propensity, self.explored = order.propensity, order.explored
        if order.explored:
            self.items = [self.ranked[place] for place in order.places]
            if self.scores is not None:
                self.scores = self.scores[order.places]

    def document(self, context: RequestContext) -> dict[str, Any]:
        """The answer to the caller; it may contain numpy numbers."""
        scores: Iterable[Any] = repeat(None) if self.scores is None else self.scores
        return {
            "impression": self.impression or None,
            "model": context.model,
            "version": context.version,
            "route": context.route,
            "user": self.asked.user,
            "step": self.step,
            "why": self.why,
            "stale": self.stale,
            "candidates": {"run": self.shown.run, "age_s": round(self.age, 3)},
            "items": [
                {"item": item, "score": score}
                for item, score in zip(self.items, scores, strict=False)
            ],
            "filtered": {reason: len(items) for reason, items in self.filtered.items()},
        }

    def logged(self) -> dict[str, Any]:
        """The impression, JSON-ready."""
        asked, shown = self.asked, self.shown
        return {
            "user": asked.user,
            "step": self.step,
            "why": self.why,
            "items": self.items,
            "propensity": self.propensity,
            "explored": self.explored,
            "ranked": self.ranked,
            "candidates": {
                "model": self.model,
                "version": shown.version,
                "run": shown.run,
                "age_s": round(self.age, 3),
            },
            "filtered": self.filtered,
            "context": {
                "items": asked.session,
                "unknown": asked.unknown,
                "device": asked.device,
                "time": asked.time,
                "segment": asked.segment,
            },
        }
