"""Rollouts for tests: two versions of a model, and captures of what they answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import helper
from tests.kits.models import NOW, SHOP, Clock, graph_of, shop_features, shop_graph

from quintet.captures.delivery import put_rows
from quintet.captures.lines import prediction_lines
from quintet.captures.opening import Opener
from quintet.captures.plans import CapturePlan, Seal
from quintet.captures.reading import read_lines
from quintet.captures.sealing import MemoryKeys, Sealer
from quintet.captures.store import MemoryCaptures, MemoryRolloutFeed
from quintet.columns import from_records
from quintet.contract import Capture, Contract, Feature
from quintet.onnx_model import OnnxModel
from quintet.rollouts.comparer import Comparer
from quintet.rollouts.evidence_store import MemoryEvidence
from quintet.rollouts.state import Rollout
from quintet.serving import ModelRoute
from quintet.serving.model_cache import ModelCache
from quintet.serving.predict import predict
from quintet.serving.prediction import in_caller_order
from quintet.serving.routes import MemoryRoutes, Route, Version

__all__ = ["CANDIDATE", "LIVE", "ROLLOUT", "RolloutWorld", "fragile_graph", "lines_of"]

LIVE = replace(SHOP, capture=Capture(rate=1, days=7))
#: the same with one feature more, which the graph does not use
CANDIDATE = replace(
    LIVE,
    version=4,
    features=(*LIVE.features, Feature(name="visits", dtype="float32", default=0.0)),
)
ROLLOUT = Rollout(
    id="r1",
    model="shop",
    live=3,
    candidate=4,
    phase="canary",
    steps=(0.1, 0.5),
    step=0,
    started=NOW - 60,
    entered=NOW - 60,
)


def fragile_graph() -> bytes:
    """The shop model with log(amount) instead of amount: not finite for an amount of 0."""
    weights = np.array([[0.1], [-0.1], [0.2]], dtype=np.float32)
    nodes = [
        helper.make_node("Split", ["X", "parts"], ["amount", "others"], axis=1),
        helper.make_node("Log", ["amount"], ["log"]),
        helper.make_node("Concat", ["log", "others"], ["used"], axis=1),
        helper.make_node("MatMul", ["used", "weights"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["sigmoid"]),
        helper.make_node("Add", ["sigmoid", "spoilt"], ["probability"]),
        helper.make_node("Sub", ["log", "log"], ["spoilt"]),
        helper.make_node("Greater", ["probability", "half"], ["over"]),
        helper.make_node("Cast", ["over"], ["number"], to=7),
        helper.make_node("Squeeze", ["number", "last"], ["label"]),
    ]
    order = [0, 1, 2, 3, 4, 6, 5, 7, 8, 9]
    return graph_of(
        SHOP,
        [nodes[number] for number in order],
        weights=weights,
        parts=np.array([1, 2], dtype=np.int64),
        half=np.array(0.5, dtype=np.float32),
        last=np.array([1], dtype=np.int64),
    )


def lines_of(
    contract: Contract,
    graph: bytes,
    event: str,
    records: Sequence[Mapping[str, Any]],
    *,
    route: str = "live",
    rollout: str = "",
    seal: Seal | None = None,
) -> list[str]:
    """The capture of a request that took 12.5 ms."""
    batch = from_records(contract, list(records))
    model = ModelRoute(OnnxModel(contract, graph), route)
    answer = in_caller_order(predict(model, batch, shop_features(), NOW, isolate="rows"))
    answer.rollout = rollout
    plan: CapturePlan = contract.compiled[CapturePlan]
    told: dict[str, Any] = {"event": event, "event_time": NOW, "path": "online", "route": route}
    told["ms"] = {"total_ms": 12.5}
    return [line.decode() for line in prediction_lines(plan, told, answer, seal=seal)]


@dataclass
class Graphs:
    """A loader of graphs by version; an exception is raised instead of a load."""

    contracts: Mapping[int, Contract]
    graphs: Mapping[int, bytes | Exception]
    loads: list[int] = field(default_factory=list)

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        self.loads.append(version)
        graph = self.graphs[version]
        if isinstance(graph, Exception):
            raise graph
        return OnnxModel(self.contracts[version], graph)


class RolloutWorld:
    """A rollout of "shop" from version 3 to 4, with everything in memory."""

    def __init__(
        self,
        candidate: bytes | Exception | None = None,
        *,
        live: bytes | Exception | None = None,
        contracts: Sequence[Contract] = (LIVE, CANDIDATE),
        rollout: Rollout | None = ROLLOUT,
    ) -> None:
        self.contracts = {contract.version: contract for contract in contracts}
        self.graphs = {3: live or shop_graph(), 4: candidate or fragile_graph()}
        self.rollout = rollout
        self.captures = MemoryCaptures()
        self.keys = MemoryKeys()
        self.unsealed: list[str] = []
        self.seal = Sealer(self.keys, Clock(), self.unsealed.append).seal
        self.feed = MemoryRolloutFeed()
        self.evidence = MemoryEvidence()
        self.judged: list[tuple[str, str]] = []
        versions = {number: Version(number, "d", "s", 1000, "now") for number in self.contracts}
        routes = MemoryRoutes([Route("shop", 3, 1, versions)])
        self.loader = Graphs(self.contracts, self.graphs)
        self.models = ModelCache(routes, self.loader, memory=10**9, clock=Clock())

    def comparer(self) -> Comparer:
        """The comparer over all of it."""
        return Comparer(
            objects=self.captures,
            sink=self.captures,
            evidence=self.evidence,
            rollout_of=lambda model: self.rollout,
            contract_of=lambda model, version: self.contracts[version],
            models=self.models,
            judge=lambda model, rollout: self.judged.append((model, rollout)),
            open=Opener(self.keys, Clock()).open,
        )

    def lines(
        self, event: str, version: int, records: Sequence[Mapping[str, Any]], **fields: Any
    ) -> list[str]:
        """The capture of a request that a version answered, as a canary if it is the candidate."""
        graph = self.graphs[version]
        assert isinstance(graph, bytes)
        about = {"route": "canary" if version == 4 else "live", "rollout": "r1#0", **fields}
        return lines_of(self.contracts[version], graph, event, records, seal=self.seal, **about)

    def put(self, lines: Sequence[str]) -> list[str]:
        """Put captures as `capture` does; the keys that were announced."""
        before = len(self.feed.keys)
        for hour, read in read_lines(lines)[0].items():
            put_rows(self.captures, hour, read.rows, read.first, read.last, feed=self.feed)
        return self.feed.keys[before:]
