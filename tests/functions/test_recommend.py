"""Recommendations through predict's handler and its tables, on moto's services."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.functions.conftest import OnlineAws, Predict, fresh_handler
from tests.kits.models import NOW, Answer, Clock, event, publish_graph
from tests.kits.recommending import RANKER, ROWS, ranker_graph, show_run, sold_out
from tests.kits.registries import registry_at

from quintet.aws.client import AwsClient
from quintet.aws.recommendations import RecommendationTables
from quintet.batch.candidates import CandidateSet, packed
from quintet.contract import Contract
from quintet.errors import Transient
from quintet.features import MemoryFeatures, StoredValue
from quintet.recommend.reads import MemoryReads, Reads, Shown, UserItems
from quintet.serving.breaker import CircuitBreaker

BODY = packed(np.array([10, 20, 30, 40]), np.array([4.0, 3.0, 2.0, 1.0]))
POPULAR = {"": [40, 41, 42, 43], "fr": [30, 31]}


def put_run(aws: OnlineAws, model: str, run: str, users: list[str], now: float) -> None:
    """A run of a model whose candidates readers see, with sets for some users."""
    client = AwsClient("dynamodb", environ=aws.environ)
    sets = [CandidateSet(user, BODY, "fr" if user == "u1" else "") for user in users]
    show_run(client, "candidates", model, run, sets=sets, popular=POPULAR, now=now)


def tables(aws: OnlineAws, **client: Any) -> tuple[RecommendationTables, CircuitBreaker]:
    """The tables, behind a circuit that opens at once."""
    breaker = CircuitBreaker(failures=1, recovery_seconds=10, clock=Clock())
    calls = AwsClient("dynamodb", environ=aws.environ, **client)
    return RecommendationTables(calls, "candidates", "features", breaker, clock=Clock()), breaker


@pytest.fixture(params=["tables", "memory"])
def reads(request: pytest.FixtureRequest, online_aws: OnlineAws) -> Iterator[Reads]:
    """The same run, candidates and features in the tables and in memory."""
    features = MemoryFeatures()
    features.put("user", "u1", "taste", 1.5, NOW - 60)
    popular = {segment: np.array(items) for segment, items in POPULAR.items()}
    sold = sold_out(2, 50)
    if request.param == "memory":
        memory = MemoryReads(features)
        memory.runs["both"] = Shown("r1", 7, NOW - 3600, popular, sold, NOW - 5)
        memory.runs["plain"] = Shown("r1", 7, NOW - 3600, popular)
        memory.sets["both", "r1", "u1"] = (BODY, "fr")
        memory.sets["both", "r1", "u2"] = (BODY, "")
        yield memory
        return
    dynamodb = online_aws.client("dynamodb")
    for model in ("both", "plain"):
        put_run(online_aws, model, "r1", ["u1", "u2"] if model == "both" else [], NOW)
    stock = {"user": {"S": "stock#both"}, "run": {"S": "-"}, "at": {"N": str(NOW - 5)}}
    dynamodb.put_item(
        TableName="candidates", Item={**stock, "sold_out": {"B": np.packbits(sold).tobytes()}}
    )
    item = {"entity": {"S": "user#u1"}, "taste": {"N": "1.5"}, "taste@": {"N": str(NOW - 60)}}
    dynamodb.put_item(TableName="features", Item=item)
    yield tables(online_aws)[0]


def test_the_run_that_readers_see(reads: Reads) -> None:
    shown = reads.shown("both")
    assert shown is not None
    assert (shown.run, shown.version, shown.started) == ("r1", 7, NOW - 3600)
    assert {name: items.tolist() for name, items in shown.popular.items()} == POPULAR
    assert shown.sold_out is not None
    assert np.flatnonzero(shown.sold_out).tolist() == [2, 50]
    assert shown.stock_at == NOW - 5
    plain = reads.shown("plain")
    assert plain is not None
    assert plain.sold_out is None
    assert reads.shown("nobody") is None


def test_a_users_candidates_come_with_the_users_features(reads: Reads) -> None:
    taste = {"taste": StoredValue(1.5, NOW - 60)}
    assert reads.user("both", "r1", "u1", "user", ["taste"]) == UserItems(BODY, "fr", taste)
    assert reads.user("both", "r1", "u2", "user", ["taste"]) == UserItems(BODY, "", {})
    assert reads.user("both", "r1", "u1", "", []) == UserItems(BODY, "fr", {})
    assert reads.user("both", "r2", "u1", "user", ["taste"]) == UserItems(None, "", taste)
    assert reads.user("both", "r1", "ü" * 512, "user", ["taste"]) == UserItems(None, "", {})
    assert reads.user("both", "r1", "😀" * 512, "user", ["taste"]) == UserItems(None, "", {})


def test_what_has_expired_is_not_there(online_aws: OnlineAws) -> None:
    put_run(online_aws, "old", "r1", ["u"], NOW - 86_400)
    assert tables(online_aws)[0].user("old", "r1", "u", "user", []).candidates is None


def test_a_store_that_does_not_answer_opens_the_circuit(online_aws: OnlineAws) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        environ = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        found, breaker = tables(OnlineAws("", {**online_aws.environ, **environ}), attempts=1)
        with pytest.raises(Transient, match="dynamodb"):
            found.user("both", "r1", "u1", "user", ["taste"])
    assert breaker.state == "OPEN"
    with pytest.raises(Transient, match="its circuit is open"):
        found.shown("both")


class Answers:
    """DynamoDB's answers, in order, and the requests."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def call(self, target: str, payload: Any, *, idempotent: bool) -> Any:
        """See `quintet.aws.client.AwsClient.call`."""
        self.asked.append(json.loads(json.dumps(payload["RequestItems"])))
        body = json.dumps(self.answers.pop(0)).encode()
        return type("Response", (), {"status": 200, "body": body})()


SET = {"user": {"S": "m#u"}, "run": {"S": "r"}, "expires": {"N": "2e9"}, "candidates": {"B": ""}}


def test_what_is_left_unread_is_asked_for_once_more() -> None:
    features = {"features": {"Keys": [{"entity": {"S": "user#u"}}]}}
    row = {"entity": {"S": "user#u"}, "v": {"N": "1"}, "v@": {"N": "2"}}
    fine = {"Responses": {"candidates": [SET], "features": []}, "UnprocessedKeys": features}
    client = Answers(fine, {"Responses": {"features": [row]}})
    breaker = CircuitBreaker(failures=1, recovery_seconds=10, clock=Clock())
    found: Any = RecommendationTables(
        client,  # type: ignore[arg-type]
        "candidates",
        "features",
        breaker,
        clock=Clock(),
    )
    assert found.user("m", "r", "u", "user", ["v"]).features == {"v": StoredValue(1, 2.0)}
    assert client.asked[1] == features
    client.answers = [fine, {"Responses": {}, "UnprocessedKeys": features}]
    assert found.user("m", "r", "u", "user", ["v"]) == UserItems(b"", "", None)
    left = {"candidates": {"Keys": [{"user": {"S": "m#u"}, "run": {"S": "r"}}]}}
    client.answers = [{"Responses": {}, "UnprocessedKeys": left}] * 2
    with pytest.raises(Transient, match="left a user's candidates unread"):
        found.user("m", "r", "u", "user", ["v"])


def publish(aws: OnlineAws, contract: Contract) -> None:
    """Publish the ranker under a contract."""
    registry = registry_at(
        aws.client("s3"), aws.client("dynamodb"), bucket="registry-bucket", table="registry"
    )
    publish_graph(contract, ranker_graph(), ROWS, registry)


def test_the_handler_recommends(predict: Predict, online_aws: OnlineAws) -> None:
    publish(online_aws, RANKER)
    path = "/models/ranker/recommendations/{}"
    put_run(online_aws, "made", "r1", ["u1"], time.time())
    online_aws.put_features("user", "u1", {"taste": 1.0})
    body = json.dumps({"items": [25, 5]})
    told = predict("POST", path.format("u1"), body, {"Content-Type": "application/json"})
    assert told.status == 200
    answer = told.json()
    assert (answer["step"], answer["candidates"]["run"]) == ("reranked", "r1")
    assert [one["item"] for one in answer["items"]] == [30, 20, 40]
    cold = predict("GET", path.format("cold"), query={"segment": "fr"}).json()
    assert (cold["step"], cold["why"]) == ("segment", "no_candidates")
    assert [one["item"] for one in cold["items"]] == [30, 31]
    put = predict("PUT", path.format("u1"), body)
    assert (put.status, put.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")


def test_a_version_whose_graph_is_damaged_leaves_the_candidates(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(online_aws, replace(RANKER, name="damaged-ranker"))
    put_run(online_aws, "made", "r1", ["u1"], time.time())
    online_aws.client("s3").put_object(
        Bucket="registry-bucket", Key="models/damaged-ranker/1/model.onnx", Body=b"no graph"
    )
    environ = {**online_aws.environ, "QUINTET_PRELOAD": "damaged-ranker"}
    with fresh_handler(environ, monkeypatch) as handler:
        asked = event("GET", "/models/damaged-ranker/recommendations/u1")
        told = Answer.of(handler(asked, None))
    assert told.status == 200
    found = told.json()
    assert (found["step"], found["why"], found["version"]) == ("candidates", "model_failed", 1)
    assert [one["item"] for one in found["items"]] == [10, 20, 30]
