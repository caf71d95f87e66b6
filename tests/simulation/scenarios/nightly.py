"""The parts of nightly candidates: the model that lists items, and who asks for recommendations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import orjson
from onnx import TensorProto, helper
from tests.kits import recommending
from tests.kits.batch import CONTRACT, tiny_graph
from tests.kits.captures import delivery, records, table
from tests.kits.models import event
from tests.simulation.faults import LOCAL_KINDS
from tests.simulation.kernel import Simulation
from tests.simulation.lambdas import Answer, Function, environment, handler, template

from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.batch.candidates import CandidateSets
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.stores import ConditionalObjects
from quintet.batch.tables import current_run, pointer_key
from quintet.captures.compaction import compact
from quintet.captures.delivery import deliver
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import RECOMMENDED
from quintet.contract import Candidates, Capture, Output
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.recommend.reads import SHOWN_SECONDS, Shown, ShownRuns, UserItems
from quintet.recommend.recommender import Recommender
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

if TYPE_CHECKING:
    from tests.simulation.scenarios.batch import Batch

__all__ = [
    "CATALOG",
    "LISTED",
    "NIGHTLY",
    "UNIT_BYTES",
    "Shoppers",
    "nightly_model",
    "user",
    "visits",
]

#: the items that a user's set has
LISTED = 4
#: the tiny model, which lists items for its customers as well: the four after their visits
NIGHTLY = replace(
    CONTRACT,
    outputs=(
        *CONTRACT.outputs,
        Output(name="ids", dtype="int64", shape=(-1, LISTED), meaning="value"),
        Output(name="scores", dtype="float32", shape=(-1, LISTED), meaning="score"),
    ),
    candidates=Candidates(ids="ids", scores="scores", items=50),
    capture=Capture(),
)
CATALOG = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, NIGHTLY))
UNIT_BYTES = 400
#: asks are so many; they end some time after the faults
ASKS, TAIL = 12, 900.0
#: who asks: the users of rows of every file, one of files of 20 rows or more, and a stranger
USERS = ("c0", "c0", "c15", "stranger")


def user(number: int) -> str:
    """The customer of a row, who is in every file."""
    return f"c{number}"


def visits(file: int, number: int) -> int:
    """The visits in a row of a file: no two files list the same items for a user."""
    return 10 * file + number % 7


@cache
def nightly_model() -> OnnxModel:
    """ids = visits + [1, 2, 3, 4]; scores = ids / 2."""
    model = onnx.load_from_string(tiny_graph())
    graph = model.graph
    graph.node.extend(
        [
            helper.make_node("Add", ["visits", "steps"], ["ids"]),
            helper.make_node("Cast", ["ids"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["numbers", "two"], ["scores"]),
        ]
    )
    graph.initializer.extend(
        [
            helper.make_tensor("steps", TensorProto.INT64, [LISTED], range(1, LISTED + 1)),
            helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
        ]
    )
    graph.output.extend(
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [None, LISTED]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, LISTED]),
        ]
    )
    return OnnxModel(NIGHTLY, model.SerializeToString(), digest="d" * 64)


@cache
def _ranker() -> OnnxModel:
    rule = replace(recommending.RULE, candidates="tiny")
    return OnnxModel(replace(recommending.RANKER, recommend=rule), recommending.ranker_graph())


class _Loader:
    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        return _ranker()


class StoredReads:
    """What recommendations read, from the stores that runs write to."""

    def __init__(
        self,
        pointers: ConditionalObjects,
        sets: CandidateSets,
        features: MemoryFeatures,
        clock: Any,
    ) -> None:
        self._pointers, self._sets = pointers, sets
        self._features, self._clock = features, clock

    def shown(self, model: str) -> Shown | None:
        """See `quintet.recommend.reads.Reads.shown`."""
        held = self._pointers.read(pointer_key(model, None))
        if held is None:
            return None
        pointer = orjson.loads(held[0])
        popular = pointer["candidates"].get("popular") or {}
        lists = {segment: np.array(items) for segment, items in popular.items()}
        started = datetime.fromisoformat(pointer["started"]).timestamp()
        return Shown(pointer["run"], pointer["version"], started, lists)

    def user(self, model: str, run: str, user: str, key: str, names: Sequence[str]) -> UserItems:
        """See `quintet.recommend.reads.Reads.user`."""
        found = self._sets.get(model, run, user, self._clock())
        features = self._features.fetch(key, [user], names).get(user, {})
        return UserItems(None if found is None else found.body, "", features)


class _Log(StdoutTelemetry):
    """Lines of the log, which a process may not live to write."""

    def __init__(self, log: Any, clock: Any) -> None:
        super().__init__("test", {}, clock=clock)
        self._log = log

    def write(self, *documents: bytes) -> None:
        """See `StdoutTelemetry.write`."""
        self._log.extend([line for one in documents for line in one.splitlines()])


class Shoppers:
    """Who asks for recommendations now and then, and what must hold of all answers."""

    def __init__(self, world: Batch) -> None:
        self.world = world
        self.simulation: Simulation = world.simulation
        self.lines: list[bytes] = []
        self.answers: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.unheard = 0
        self._log = world.port("predict-log", self.lines, kinds=LOCAL_KINDS)
        self._features = MemoryFeatures()
        for name in USERS:
            self._features.put("user", name, "taste", 1.0, self.simulation.now - 60)
        stores = StoredReads(world.shown, world.sets, self._features, self.simulation.clock)
        self.reads = world.port("reads", stores)
        predict = handler(
            "predict", recommender=environment(self.simulation, "recommender", self._recommender)
        )
        settling = environment(self.simulation, "settling", self._settling)
        common = SimpleNamespace(request_telemetry=settling, auth=lambda: "none")
        predict.__globals__["common"] = common
        timeout = template().of_type("AWS::Lambda::Function")["Predict"]["Timeout"]
        self.function = Function(self.simulation, "Predict", predict, timeout)

    def _settling(self) -> RequestTelemetry:
        return RequestTelemetry(_Log(self._log, self.simulation.clock))

    def _recommender(self) -> Recommender:
        clock = self.simulation.clock
        route = Route("ranker", 1, 1, {1: Version(1, "d", "s", 1, "now")})
        models = ModelCache(MemoryRoutes([route]), _Loader(), memory=10**9, clock=clock)
        online = Online(
            models, lambda: {"ranker": [1]}, self._features, PredictionCache(clock=clock), clock
        )
        # what a process was told stays as old as it is: by its own clock
        runs = ShownRuns(self.reads, lambda: self.simulation.now)
        return Recommender(online, self.reads, runs, models)

    def start(self) -> None:
        """Ask now and then."""
        simulation = self.simulation
        until = simulation.faults.calm + TAIL
        moments = [simulation.faults.uniform("shoppers") for _ in range(ASKS)]
        for moment in moments:
            simulation.at(simulation.now + moment * (until - simulation.now), self.ask)

    def soon(self) -> None:
        """Ask at once and soon again: a run is about to be shown."""
        simulation = self.simulation
        for wait in (0.0, SHOWN_SECONDS * simulation.faults.uniform("shoppers")):
            simulation.at(simulation.now + wait, self.ask)

    def ask(self) -> None:
        """Ask for one user, who may never get the answer."""
        simulation = self.simulation
        asked = USERS[int(simulation.faults.uniform("shoppers/user") * len(USERS))]
        given = event("GET", f"/models/ranker/recommendations/{asked}", b"", {})
        fault = simulation.faults.at("Predict.invoke", simulation.now, ("reply lost",))
        calm = simulation.now > simulation.faults.calm

        def then(answer: Answer) -> None:
            if answer.error or fault:
                self.unheard += 1
                return
            found = orjson.loads(answer.payload)
            if found["statusCode"] == 200:
                self._answered(asked, orjson.loads(found["body"]))
            elif found["statusCode"] != 404 and (calm or found["statusCode"] != 503):
                self.problems.append(f"answers: {found['statusCode']}: {found['body'][:120]}")

        self.function.invoke(given, then)

    def _answered(self, asked: str, body: dict[str, Any]) -> None:
        """Hold an answer to the run that it names."""
        world, run = self.world, body["candidates"]["run"]
        self.answers.append(body)
        listed = world.lists[run].get(asked)
        items = {one["item"] for one in body["items"]}
        if listed is None:
            if body["step"] in ("reranked", "candidates"):
                self.problems.append(f"candidates: {asked} has some of {run}, which lists none")
        elif "no_candidates" in body["why"]:
            self.problems.append(f"whole runs: {run} is shown, and lacks the set of {asked}")
        elif body["step"] in ("reranked", "candidates") and not items <= listed:
            self.problems.append(f"candidates: {asked} got {sorted(items)}, not of {run}'s set")
        if body["step"] != "reranked" and "store_failed" in body["why"]:
            world.reach("a recommendation fell back, as a store did not answer")
        pointer = current_run("tiny", None, world.shown)
        if pointer is not None and pointer["run"] != run:
            world.reach("a recommendation by a run that another had replaced")
        if any(one.running for one in world.machines.held.values()):
            world.reach("a recommendation while another run wrote its sets")

    def observe(self, task: Any, found: Any) -> None:
        """What a process was told of the run that readers see: never an older one than before."""
        if isinstance(found, Shown):
            if found.started < task.environment.get("newest", 0.0):
                self.problems.append(f"monotonic: {task.name} saw {found.run} after a newer run")
            task.environment["newest"] = found.started

    # ---- what must hold ------------------------------------------------------------------------

    def check(self, newest: str | None) -> Iterator[str]:
        """What does not hold; `newest` is the run that all users now see."""
        count, simulation = len(self.answers), self.simulation
        simulation.run(simulation.now + SHOWN_SECONDS + 1)
        for _ in range(2 * len(USERS)):
            self.ask()
            simulation.run(simulation.now + 60)
        last = {body["candidates"]["run"] for body in self.answers[count:]}
        if last - {newest}:
            yield f"newest: recommendations are of {sorted(last)}, not of {newest}"
        yield from self.problems
        yield from self._check_impressions()

    def _check_impressions(self) -> Iterator[str]:
        """Each answer has its impression, whose items are those that were shown, once."""
        lines = [line.decode() for line in self.lines if b'"capture":1' in line]
        captured = MemoryCaptures()
        half = len(lines) // 2
        for some in (lines[:half], lines[half // 2 :], lines):  # at least once, and cut otherwise
            deliver(delivery(some), captured)
        compact(captured, captured, self.simulation.now + 7200)
        kept: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for id, outcome, text in records(table(captured), "event", "outcome", "impression"):
            if outcome == RECOMMENDED:
                kept[id].append(orjson.loads(text))
        for body in self.answers:
            found = [one["items"] for one in kept[body["impression"]]]
            if found != [[one["item"] for one in body["items"]]]:
                yield f"impressions: of an answer there are {found}, not {body['items']}"
            for one in kept[body["impression"]]:
                if (one["candidates"]["run"], one["user"]) != (
                    body["candidates"]["run"],
                    body["user"],
                ):
                    yield f"impressions: {one['user']} of {one['candidates']['run']}"
        extra = len(kept) - len({body["impression"] for body in self.answers})
        if extra > self.unheard:
            yield f"impressions: {extra} without an answer, of {self.unheard} that were lost"
        if extra:
            self.world.reach("an answer was lost after its impression was kept")
        ids = Counter(body["impression"] for body in self.answers)
        if twice := [id for id, count in ids.items() if count > 1]:
            yield f"impressions: {twice[:2]} are of several answers"
