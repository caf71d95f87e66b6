"""Recommendations for tests: a small ranker, what it showed, and what users did with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import helper
from tests.kits import recommending
from tests.kits.captures import impression, impression_line_of
from tests.kits.models import NOW, graph_of

from quintet.captures.delivery import put_rows
from quintet.captures.lines import prediction_lines
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import read_lines
from quintet.captures.store import MemoryCaptures
from quintet.columns import from_records
from quintet.contract import Contract, Feature, Filters
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.serving import ModelRoute
from quintet.serving.predict import predict
from quintet.serving.prediction import in_caller_order

__all__ = [
    "DAY",
    "RANKER",
    "SCORES",
    "SECOND",
    "ImpressionWorld",
    "event_at",
    "explored",
    "ranker_graph",
    "row_of",
]

DAY = 86_400.0

#: the ranker of `recommending` for more items and any score; see `ranker_graph`
RANKER = replace(
    recommending.RANKER,
    features=(
        Feature(name="item", dtype="int64", range=(1, 100)),
        Feature(name="score", dtype="float32"),
        recommending.RANKER.by_name["session"],
        Feature(name="taste", dtype="float32", source="store", default=0.0, when_stale="default"),
    ),
    recommend=replace(recommending.RULE, category="category", filters=Filters(per_category=2)),
)

#: version 1 ranks these as 28, 17, 5, version 2, which takes the item off the score, as 5, 17, 28
SCORES = {5: 7.0, 17: 8.0, 28: 9.0, 41: -50.0}
SECOND = replace(RANKER, version=2)


def ranker_graph(of_item: float = 0.0) -> bytes:
    """rank = score + `of_item` * item + taste * item; the category is the item's tens."""
    nodes = [
        helper.make_node("Cast", ["item"], ["number"], to=1),
        helper.make_node("Add", ["taste", "of_item"], ["factor"]),
        helper.make_node("Mul", ["number", "factor"], ["own"]),
        helper.make_node("ReduceSum", ["session", "last"], ["seen"], keepdims=1),
        helper.make_node("Cast", ["seen"], ["seen_number"], to=1),
        helper.make_node("Mul", ["seen_number", "none"], ["nothing"]),
        helper.make_node("Add", ["score", "own"], ["sum"]),
        helper.make_node("Add", ["sum", "nothing"], ["rank"]),
        helper.make_node("Div", ["item", "ten"], ["category"]),
    ]
    return graph_of(
        RANKER,
        nodes,
        of_item=np.array(of_item, dtype=np.float32),
        last=np.array([1], dtype=np.int64),
        none=np.array(0, dtype=np.float32),
        ten=np.array(10, dtype=np.int64),
    )


def event_at(seconds: float, number: int) -> str:
    """An event's id of a time, as `quintet.captures.events` makes them."""
    return f"{int(seconds * 1000):012x}{number:020x}"


def row_of(user: str, item: int, score: float) -> dict[str, Any]:
    """A candidate as the ranker's row, for a user who has item 1 in the basket."""
    return {"user": user, "item": item, "score": score, "session": [1]}


@dataclass
class ImpressionWorld:
    """Captures of recommendations in memory; `contracts` and `graphs` are by version."""

    contracts: dict[int, Contract] = field(default_factory=lambda: {1: RANKER})
    graphs: dict[int, bytes] = field(default_factory=lambda: {1: ranker_graph()})
    captures: MemoryCaptures = field(default_factory=MemoryCaptures)
    features: MemoryFeatures = field(default_factory=MemoryFeatures)
    shown: int = 0

    def show(
        self,
        user: str,
        scores: Mapping[int, float],
        *,
        at: float = NOW,
        order: Sequence[int] | None = None,
        propensity: Sequence[float] | None = None,
        version: int = 1,
        rows: int | None = None,
        **told: Any,
    ) -> str:
        """Capture a recommendation of candidates, with their scores by item; its event's id.

        `order` are the items shown, by default the ranker's first three, and `rows` how many were
        to be ranked; `told` are fields of the impression.
        """
        self.shown += 1
        event = event_at(at, self.shown)
        contract = self.contracts[version]
        plan: CapturePlan = contract.compiled[CapturePlan]
        about = {"event": event, "event_time": at, "path": "online", "route": "live"}
        lines: list[bytes] = []
        ranked: list[int] = []
        if scores:
            records = [row_of(user, item, score) for item, score in scores.items()]
            model = OnnxModel(contract, self.graphs[version])
            batch = from_records(contract, records)
            answer = in_caller_order(predict(ModelRoute(model, "live"), batch, self.features, at))
            ranks = answer.scores.outputs["rank"][:, 0]
            items = np.array(list(scores))
            ranked = items[np.argsort(-ranks, kind="stable")][:3].tolist()
            lines = prediction_lines(plan, about, answer)
        items_shown = list(order or ranked)
        own = {
            "step": "reranked" if scores else "popular",
            "propensity": list(propensity or [1.0] * len(items_shown)),
            "explored": items_shown != (ranked or items_shown),
            "ranked": ranked or items_shown,
            "context": {"items": [1], "device": "phone", "time": at, "segment": ""},
        }
        document = impression(user, items_shown, **(own | told))
        count = len(scores) if rows is None else rows
        line = impression_line_of(event, document, now=at, contract=contract, rows=count)
        self.put([*(one.decode() for one in lines), line])
        return event

    def put(self, lines: Iterable[str]) -> None:
        """Put captures as `capture` does."""
        for hour, read in read_lines(lines)[0].items():
            put_rows(self.captures, hour, read.rows, read.first, read.last)


def explored(world: ImpressionWorld, explore: float = 0.5) -> list[tuple[str, tuple[int, ...]]]:
    """Every order of three items as often as exploration shows it; each with its event."""
    ranked = (28, 17, 5)
    orders = list(itertools.permutations(ranked))
    orders += [ranked] * (round((1 - explore + explore / 6) / (explore / 6)) - 1)
    found = []
    for number, order in enumerate(orders):
        same = [one == other for one, other in zip(order, ranked, strict=True)]
        propensity = [(1 - explore) * one + explore / 3 for one in same]
        event = world.show(f"u{number // 2}", SCORES, order=order, propensity=propensity)
        found.append((event, order))
    return found
