"""Recommendations through predict's handler and the local API: python -m benchmarks.recommendations

Two rankers: the shop's, and one of 40 numbers (20 of the item, in the graph; 18 stored ones of the
user, the candidate's score and the hour) and 100 trees. Candidates and stored features are read
from the local AWS, which runs in another process; every answer is captured, unless
--without-captures is given.

Of the handler, from event to response, the processor time is measured, without that of the call of
the store (signing, HTTP), which is shown apart. The model's run on the same batch takes turns with
it. Through the API, times are those of one caller, and the store's are those that predict logs.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
from benchmarks.online_setup import ROOT, Handler, environment, handler
from benchmarks.reports import milliseconds, report
from onnx import helper
from tests.kits.aws import environ
from tests.kits.local_aws import LocalAws, start_local_aws
from tests.kits.models import event, graph_of, publish_graph
from tests.kits.recommending import show_run

from quintet.aws.client import AwsClient
from quintet.aws.features import entity_key
from quintet.batch.candidates import CandidateSet, packed
from quintet.contract import Capture, Contract, Feature, Input, Limits, Output, Recommend
from quintet_publish.kit import contract_of

USERS, ITEMS, BASKET = 20, 2663, 5
TREES, LEAVES, OF_ITEM, OF_USER = 100, 32, 20, 18
#: no answer is too late for a run of the model
BUDGET = 10_000
SHOP = contract_of(ROOT / "models/ranker")
assert SHOP.recommend is not None
SHOP = replace(SHOP, recommend=replace(SHOP.recommend, budget_ms=BUDGET))
MADE = "candidates"
JSON = {"Content-Type": "application/json"}

STORED = [f"user_{number}" for number in range(OF_USER)]
WIDE = Contract(
    name="wide",
    version=1,
    task="ranking",
    entity="customer_id",
    features=(
        Feature(name="item", dtype="int64", range=(1, ITEMS)),
        Feature(name="score", dtype="float32"),
        Feature(name="hour", dtype="float32", default=12.0),
        *(
            Feature(name=name, dtype="float32", source="store", default=0.0, when_stale="default")
            for name in STORED
        ),
    ),
    inputs=(
        Input(name="item", dtype="int64", shape=(-1, 1)),
        Input(
            name="rest",
            dtype="float32",
            shape=(-1, OF_USER + 2),
            features=("score", "hour", *STORED),
        ),
    ),
    outputs=(Output(name="rank", dtype="float32", shape=(-1, 1), meaning="score"),),
    recommend=Recommend(
        candidates=MADE, item="item", score="score", rank="rank", budget_ms=BUDGET, explore=0.05
    ),
    capture=Capture(),
    limits=Limits(rows=500),
)


def wide_graph() -> bytes:
    """Trees with random splits over the item's numbers, which the graph holds, and the others."""
    random = np.random.default_rng(7)
    inner = LEAVES - 1
    tree = np.repeat(np.arange(TREES), inner + LEAVES)
    node = np.tile(np.arange(inner + LEAVES), TREES)
    split = node < inner
    count = len(node)
    leaf = np.flatnonzero(~split)
    nodes = [
        helper.make_node("Squeeze", ["item", "axis"], ["number"]),
        helper.make_node("Gather", ["matrix", "number"], ["of_item"]),
        helper.make_node("Concat", ["of_item", "rest"], ["x"], axis=1),
        helper.make_node(
            "TreeEnsembleRegressor",
            ["x"],
            ["rank"],
            domain="ai.onnx.ml",
            n_targets=1,
            nodes_treeids=tree.tolist(),
            nodes_nodeids=node.tolist(),
            nodes_featureids=random.integers(0, OF_ITEM + OF_USER + 2, count).tolist(),
            nodes_modes=np.where(split, "BRANCH_LEQ", "LEAF").tolist(),
            nodes_values=random.normal(size=count).tolist(),
            nodes_truenodeids=np.where(split, 2 * node + 1, 0).tolist(),
            nodes_falsenodeids=np.where(split, 2 * node + 2, 0).tolist(),
            target_treeids=tree[leaf].tolist(),
            target_nodeids=node[leaf].tolist(),
            target_ids=[0] * len(leaf),
            target_weights=random.normal(size=len(leaf)).tolist(),
        ),
    ]
    matrix = random.normal(size=(ITEMS + 1, OF_ITEM)).astype(np.float32)
    return graph_of(WIDE, nodes, axis=np.array([1]), matrix=matrix)


@contextmanager
def served(captured: bool) -> Iterator[LocalAws]:
    """A local AWS with both rankers, and users `w0..` with 200 and `f0..` with 500 candidates."""
    with tempfile.TemporaryDirectory() as state:
        local = start_local_aws(Path(state))
        try:
            package = ROOT / "models/ranker"
            golden = json.loads((package / "golden.json").read_bytes())["columns"]
            shop, wide = (one if captured else replace(one, capture=None) for one in (SHOP, WIDE))
            publish_graph(shop, (package / "model.onnx").read_bytes(), golden, local.registry)
            rows: dict[str, list[Any]] = {
                feature.name: [1] for feature in WIDE.features if feature.name != "hour"
            }
            publish_graph(wide, wide_graph(), {"hour": [12.0], **rows}, local.registry)
            put_users(local)
            yield local
        finally:
            local.stop()


def put_users(local: LocalAws) -> None:
    """Put candidates, popular items, and the stored features of both rankers."""
    random, client = (
        np.random.default_rng(5),
        AwsClient("dynamodb", environ=environ(local.endpoint_url)),
    )
    sets = []
    for user, size in users():
        ids = random.permutation(np.arange(1, ITEMS + 1))[:size]
        sets.append(CandidateSet(user, packed(ids, np.sort(random.random(size))[::-1])))
        item = {"entity": {"S": entity_key("customer_id", user)}}
        for name in (*STORED, *(feature.name for feature in SHOP.stored)):
            item |= {name: {"N": f"{random.random():.6f}"}, f"{name}@": {"N": f"{time.time():.0f}"}}
        table = local.outputs["FeaturesTableName"]
        local.client("dynamodb").put_item(TableName=table, Item=item)
    popular = {"": list(range(1, 101))}
    table = local.outputs["CandidatesTableName"]
    show_run(client, table, MADE, "night", sets=sets, popular=popular, now=time.time())


def users() -> Iterator[tuple[str, int]]:
    """The users with candidates, and how many they have."""
    for number in range(USERS):
        yield f"w{number}", 200
        yield f"f{number}", 500


def body_of(contract: Contract, number: int) -> bytes:
    """A request's context: a basket, and the hour if the ranker takes it."""
    basket = np.random.default_rng(number).integers(1, ITEMS, BASKET).tolist()
    asked: dict[str, Any] = {"items": basket}
    return json.dumps(asked if contract is SHOP else {**asked, "hour": 9.0}).encode()


def path_of(contract: Contract, user: str) -> str:
    """The path of a user's recommendations."""
    return f"/models/{contract.name}/recommendations/{user}"


class Way:
    """A handler asked for several users in turn, and the model's run on the batch of each."""

    def __init__(self, answer: Handler, contract: Contract, kind: str, step: str) -> None:
        self.batches: list[Callable[[], Any]] = []
        self.asked = []
        for number in range(USERS):
            path = path_of(contract, f"{kind}{number}")
            self.asked.append(event("POST", path, body_of(contract, number), JSON))
            with recorded(contract, self.batches):
                found = answer(self.asked[-1], None)
            assert json.loads(found["body"])["step"] == step, found
        self._answer = answer
        self.handler: list[float] = []
        self.store: list[float] = []
        self.run: list[float] = []

    def round(self, number: int) -> None:
        """Ask once, and run the batch of this request alone."""
        place = number % USERS
        with store_time() as store:
            took = timed(partial(self._answer, self.asked[place], None))
        self.store.append(sum(store))
        self.handler.append(took - self.store[-1])
        if self.batches:
            self.run.append(timed(self.batches[place]))

    def row(self, name: str, candidates: int | str) -> dict[str, Any]:
        """The row of the table."""
        found = {"ranker": name, "candidates": candidates, **milliseconds(self.handler, 50, 95, 99)}
        found["store"] = milliseconds(self.store, 50)["p50_ms"]
        whole = float(np.median(self.handler)) * 1000
        run = float(np.median(self.run)) * 1000 if self.run else math.nan
        return {**found, "run": round(run, 3), "over 1.3 runs": round(whole - 1.3 * run, 3)}


@contextmanager
def store_time() -> Iterator[list[float]]:
    """The processor times of calls of the store within, in seconds."""
    call, found = AwsClient.call, list[float]()

    def timed_call(*args: Any, **options: Any) -> Any:
        begun = time.thread_time()
        try:
            return call(*args, **options)
        finally:
            found.append(time.thread_time() - begun)

    AwsClient.call = timed_call  # type: ignore[method-assign]
    try:
        yield found
    finally:
        AwsClient.call = call  # type: ignore[method-assign]


@contextmanager
def recorded(contract: Contract, batches: list[Callable[[], Any]]) -> Iterator[None]:
    """Keep the runs of a loaded model within, to be repeated by onnxruntime's session alone."""
    from quintet.wiring import predict as wiring

    model: Any = wiring.online().models.get(contract.name)
    run = model.run

    def recording(outputs: Sequence[str], feeds: dict[str, Any]) -> Any:
        batches.append(partial(run, list(outputs), feeds))
        return run(outputs, feeds)

    model.run = recording
    try:
        yield
    finally:
        model.run = run


def timed(call: Callable[[], Any]) -> float:
    """The processor time of a call in this thread, in seconds."""
    begun = time.thread_time()
    call()
    return time.thread_time() - begun


def measure_handler(local: LocalAws, rounds: int) -> list[dict[str, Any]]:
    """The handler in this process; all ways take turns."""
    answer = handler({**environment(local), "QUINTET_PRELOAD": f"{SHOP.name},{WIDE.name}"})
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere  # log lines are written to the null device
        for _ in range(3):  # the first runs, and the budget's expectations
            for contract in (WIDE, SHOP):
                answer(event("POST", path_of(contract, "w0"), body_of(contract, 0), JSON), None)
        ways: dict[tuple[str, int | str], Way] = {
            ("40 numbers", 200): Way(answer, WIDE, "w", "reranked"),
            ("40 numbers", 500): Way(answer, WIDE, "f", "reranked"),
            ("40 numbers", "none"): Way(answer, WIDE, "cold", "popular"),
            ("the shop's", 200): Way(answer, SHOP, "w", "reranked"),
            ("the shop's", 500): Way(answer, SHOP, "f", "reranked"),
        }
        gc.collect()
        for number in range(rounds):
            for way in ways.values():
                way.round(number)
        sys.stdout = sys.__stdout__
    return [way.row(*key) for key, way in ways.items()]


def measure_api(local: LocalAws, requests: int) -> list[dict[str, Any]]:
    """Requests of one caller through the local API, after the model is loaded there."""
    found = []
    for name, contract in (("40 numbers", WIDE), ("the shop's", SHOP)):
        ask(local, contract, 20)
        begun = len(logged(local, contract))
        times = ask(local, contract, requests)
        lines = logged(local, contract)[begun:]
        assert {line["step"] for line in lines} == {"reranked"}
        store = milliseconds([line["read_ms"] / 1000 for line in lines], 50, 95)
        found.append(
            {
                "ranker": name,
                "requests": requests,
                **milliseconds(times, 50, 95, 99),
                "store (p50)": round(store["p50_ms"], 2),
                "store (p95)": round(store["p95_ms"], 2),
            }
        )
    return found


def ask(local: LocalAws, contract: Contract, requests: int) -> list[float]:
    """The seconds of each of some requests over one connection."""
    place, times = urlsplit(local.api_url), []
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    for number in range(requests):
        body = body_of(contract, number % USERS)
        begun = time.perf_counter()
        connection.request("POST", path_of(contract, f"w{number % USERS}"), body, JSON)
        response = connection.getresponse()
        answer = response.read()
        times.append(time.perf_counter() - begun)
        assert response.status == 200, answer
    return times


def logged(local: LocalAws, contract: Contract) -> list[Mapping[str, Any]]:
    """The log lines of a model's recommendations."""
    lines = [line for line in local.logs("Predict").splitlines() if '"recommended"' in line]
    return [one for one in map(orjson.loads, lines) if one.get("model") == contract.name]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1000, help="of the handler")
    parser.add_argument("--requests", type=int, default=500, help="through the API, each ranker")
    parser.add_argument("--without-captures", action="store_true", help="answers leave no captures")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results, too")
    asked = parser.parse_args()
    with served(not asked.without_captures) as local:
        note = f"{asked.rounds} rounds; processor time of the handler, in milliseconds"
        rows = measure_handler(local, asked.rounds)
        report("recommendations", rows, note, write=asked.write)
        rows = measure_api(local, asked.requests)
        note = "one caller; milliseconds"
        report("recommendations_api", rows, note, write=asked.write)


if __name__ == "__main__":
    main()
