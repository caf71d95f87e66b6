"""A small ranker, its candidates and features in memory, and the route that recommends by them.

The ranker's version 1 scores an item `taste * score - |item - (sum of the session)|`; an item's
category is its number modulo 3. Of version 2, a candidate's score of 13 or more breaks the answer.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.kits.models import NOW, Clock, event, graph_of

from quintet.api import gateway, recommendations
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.aws.candidates import CandidatePointers, CandidateTable
from quintet.aws.client import AwsClient
from quintet.batch.candidates import CandidateSet, packed
from quintet.batch.tables import pointer_key
from quintet.contract import Capture, Contract, Feature, Filters, Input, Output, Recommend
from quintet.errors import ModelFailure, Transient
from quintet.features import FeatureCache, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import RECORDS
from quintet.recommend.reads import MemoryReads, Shown, ShownRuns, UserItems
from quintet.recommend.recommender import Recommender
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

__all__ = ["RANKER", "ROWS", "RULE", "RUN", "Shop", "Told", "ranker_graph", "show_run"]

RUN = "2023-11-14-night"
RULE = Recommend(
    candidates="made",
    item="item",
    score="score",
    session="session",
    rank="rank",
    top=3,
    budget_ms=10_000,
)
RANKER = Contract(
    name="ranker",
    version=1,
    task="ranking",
    entity="user",
    features=(
        Feature(name="item", dtype="int64", range=(1, 50)),
        Feature(name="score", dtype="float32", range=(-5, 20)),
        Feature(name="session", dtype="int64", shape=(-1,), max=3, pad=0, range=(1, 50)),
        Feature(name="taste", dtype="float32", source="store", max_age=86_400, when_stale="refuse"),
    ),
    inputs=(
        Input(name="item", dtype="int64", shape=(-1, 1)),
        Input(name="score", dtype="float32", shape=(-1, 1)),
        Input(name="session", dtype="int64", shape=(-1, -1)),
        Input(name="taste", dtype="float32", shape=(-1, 1)),
    ),
    outputs=(
        Output(name="rank", dtype="float32", shape=(-1, 1), meaning="score"),
        Output(name="category", dtype="int64", shape=(-1, 1), meaning="value"),
    ),
    recommend=RULE,
    capture=Capture(),
)


#: golden rows
ROWS: dict[str, list[Any]] = {
    "user": ["g"],
    "item": [1],
    "score": [1.0],
    "session": [[2]],
    "taste": [1.0],
}


def show_run(
    client: AwsClient,
    table: str,
    model: str,
    run: str,
    *,
    sets: Sequence[CandidateSet],
    popular: Mapping[str, Sequence[int]],
    now: float,
) -> None:
    """Put the sets of a run that began an hour ago into the table, and let readers see it."""
    CandidateTable(client, table).put(model, run, sets, int(now) + 86_400)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 3600))
    document = {"run": run, "version": 7, "started": started, "candidates": {"popular": popular}}
    pointers, key = CandidatePointers(client, table), pointer_key(model, None)
    held = pointers.read(key)
    assert pointers.swap(key, orjson.dumps(document), held[1] if held else None)


def ranker_graph(breaks_from: float = 1e9) -> bytes:
    """See above; from the score `breaks_from`, ranks are infinite."""
    nodes = [
        helper.make_node("ReduceSum", ["session", "axis"], ["sum"], keepdims=1),
        helper.make_node("Sub", ["item", "sum"], ["gap"]),
        helper.make_node("Abs", ["gap"], ["distance"]),
        helper.make_node("Cast", ["distance"], ["far"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["taste", "score"], ["wanted"]),
        helper.make_node("Sub", ["wanted", "far"], ["fine"]),
        helper.make_node("GreaterOrEqual", ["score", "limit"], ["over"]),
        helper.make_node("Where", ["over", "broken", "fine"], ["rank"]),
        helper.make_node("Mod", ["item", "three"], ["category"]),
    ]
    return graph_of(
        RANKER,
        nodes,
        axis=np.array([1]),
        limit=np.float32(breaks_from),
        broken=np.array(np.inf, dtype=np.float32),
        three=np.array([3]),
    )


class Reads(MemoryReads):
    """The stores in memory: `down` fails all reads of users; `read` are the calls so far."""

    def __init__(self, features: MemoryFeatures) -> None:
        super().__init__(features)
        self.down = self.unread = False
        self.read: list[str] = []

    def shown(self, model: str) -> Shown | None:
        """See `quintet.recommend.reads.Reads.shown`."""
        self.read.append(f"shown {model}")
        if self.down:
            raise Transient("the store is down")
        return super().shown(model)

    def user(self, model: str, run: str, user: str, key: str, names: Sequence[str]) -> UserItems:
        """See `quintet.recommend.reads.Reads.user`; `unread` features are left unread."""
        self.read.append(f"user {user}")
        if self.down:
            raise Transient("the store is down")
        found = super().user(model, run, user, key, names)
        return found._replace(features=None) if self.unread else found


@dataclass
class _Loader:
    """Loads the ranker's versions, unless they are `broken`; `graph` is another graph of both."""

    contracts: Mapping[int, Contract]
    broken: set[int]
    graph: bytes | None

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        if version in self.broken:
            raise ModelFailure("the graph does not load")
        graph = self.graph or ranker_graph(13.0 if version == 2 else 1e9)
        return OnnxModel(self.contracts[version], graph)


@dataclass
class Told:
    """An answer, and what was written of it: the log line, the metrics, the captures' lines."""

    status: int
    body: Any
    headers: Mapping[str, str]
    log: dict[str, Any]
    metrics: dict[str, Any]
    captures: list[dict[str, Any]]

    @property
    def items(self) -> list[int]:
        """The items of the answer, in order."""
        return [one["item"] for one in self.body["items"]]


@dataclass
class Shop:
    """The route over stores in memory. `u1` has candidates and features, from an hour ago.

    `canary` is the share of the users that version 2 answers. `graph` is that of another contract,
    which both versions then have.
    """

    contract: Contract = RANKER
    rule: Mapping[str, Any] = field(default_factory=dict)
    canary: float = 0.0
    broken: set[int] = field(default_factory=set)
    graph: bytes | None = None

    def __post_init__(self) -> None:
        assert self.contract.recommend is not None
        rule = replace(self.contract.recommend, **self.rule)
        self.made = rule.candidates
        contracts = {
            version: replace(self.contract, version=version, recommend=rule) for version in (1, 2)
        }
        self.clock, self.features = Clock(), MemoryFeatures()
        self.reads = Reads(self.features)
        versions = {number: Version(number, "d", "s", 1000, "now") for number in (1, 2)}
        route = Route("ranker", 1, 1, versions)
        if self.canary:
            route = replace(route, canary=2, canary_share=self.canary, rollout="r1")
        routes = MemoryRoutes([route])
        models = ModelCache(
            routes, _Loader(contracts, self.broken, self.graph), memory=10**9, clock=self.clock
        )
        telemetry = RequestTelemetry(StdoutTelemetry("test", {}, clock=self.clock))
        self.online = Online(
            models,
            lambda: {"ranker": [1, 2]},
            FeatureCache(self.features, seconds=5, clock=self.clock),
            PredictionCache(clock=self.clock),
            self.clock,
            begin=telemetry.begin,
        )
        known = ModelCache(
            routes, _Loader(contracts, set(), self.graph), memory=10**9, clock=self.clock
        )
        runs = ShownRuns(self.reads, self.clock)
        self.recommender = Recommender(self.online, self.reads, runs, known)
        answer = partial(recommendations.answer, self.recommender)
        path = "/models/{model}/recommendations/{user}"
        self._routes = gateway.Routes(
            {(method, path): (answer, RECORDS.failure) for method in ("GET", "POST")}
        )
        self._telemetry = telemetry
        self.shows({"": [40, 41, 42, 43], "fr": [30, 31]})
        self.has("u1", [10, 20, 30, 40], [4.0, 3.0, 2.0, 1.0])

    def shows(self, popular: Mapping[str, Sequence[int]], age: float = 3600, **more: Any) -> None:
        """Let readers see the run, which began `age` seconds ago."""
        lists = {segment: np.array(items) for segment, items in popular.items()}
        self.reads.runs[self.made] = Shown(RUN, 7, NOW - age, lists, **more)

    def has(
        self,
        user: str,
        ids: Sequence[int],
        scores: Sequence[float],
        *,
        segment: str = "",
        taste: float | None = 1.0,
    ) -> None:
        """Give a user candidates, and a stored feature."""
        body = packed(np.array(ids), np.array(scores))
        self.reads.sets[self.made, RUN, user] = (body, segment)
        if taste is not None:
            self.features.put("user", user, "taste", taste, NOW - 60)

    def post(self, user: str, body: Any = None, *, model: str = "ranker") -> Told:
        """Ask with a context; by default an empty one."""
        raw = body if isinstance(body, bytes | str) else json.dumps({} if body is None else body)
        headers = {"Content-Type": "application/json"}
        return self.ask("POST", user, raw, headers, model=model)

    def get(self, user: str, **query: str) -> Told:
        """Ask without a body."""
        return self.ask("GET", user, b"", {}, query=query)

    def ask(
        self,
        method: str,
        user: str,
        raw: bytes | str,
        headers: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        model: str = "ranker",
    ) -> Told:
        """Ask as API Gateway does."""
        asked = event(method, f"/models/{model}/recommendations/{user}", raw, headers, query=query)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            found = gateway.respond(asked, self._routes, lambda: self._telemetry, lambda: "none")
        lines = [orjson.loads(line) for line in out.getvalue().splitlines()]
        return Told(
            found["statusCode"],
            json.loads(found["body"]),
            found["headers"],
            next(line for line in lines if "request_id" in line and "level" in line),
            next(line for line in lines if "_aws" in line),
            [line for line in lines if "capture" in line],
        )


def sold_out(*items: int) -> NDArray[np.bool_]:
    """A list of the items that are sold out."""
    found = np.zeros(51, dtype=np.bool_)
    found[list(items)] = True
    return found


def only(**filters: Any) -> dict[str, Any]:
    """A rule with these filters."""
    return {"filters": Filters(**filters)}
