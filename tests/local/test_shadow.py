"""A rollout in shadow on the local AWS: what callers see, what is captured, and the evidence."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from arro3 import core
from onnx import helper
from tests.kits.aws import environ
from tests.kits.captures import records
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.models import LOG, ROWS, graph_of, log_graph, publish_graph

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.captures.queries import find, load
from quintet.contract import Capture, Gates, RolloutRule
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.store import Cause
from quintet.rollouts.transitions import roll_back, start

NAME = "shadowed"
LIVE = replace(LOG, name=NAME, version=1, capture=Capture(days=7))
#: all its gates look, and decide nothing
WATCHED = Gates(failures="dry_run", score="dry_run", labels="dry_run")
CANDIDATE = replace(LIVE, version=2, rollout=RolloutRule(gates=WATCHED))
BAD = replace(LIVE, version=3)
REQUESTS = 30


def half_graph() -> bytes:
    """The logarithms of half of x + y and of x - 2, so not finite for an x of 2."""
    weights = np.array([[0.5, 1], [0.5, 0]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["XY", "weights"], ["product"]),
        helper.make_node("Sub", ["product", "less"], ["both"]),
        helper.make_node("Log", ["both"], ["logs"]),
    ]
    return graph_of(LOG, nodes, weights=weights, less=np.array([0, 2], dtype=np.float32))


def ask(local: LocalAws, number: int = 0) -> tuple[bytes, Any]:
    """The body and the headers of an answer; every request is answered."""
    rows = [{"x": number + 3.0, "y": 1.0}, {"x": 2.0, "y": 0.5}]
    body = json.dumps({"records": rows}).encode()
    with urlopen(Request(f"{local.api_url}/models/{NAME}/predict", body), timeout=30) as answer:
        assert answer.status == 200
        return answer.read(), answer.headers


def test_shadow_answers_nobody_and_compares_every_row(local_aws: LocalAws) -> None:
    publish_graph(LIVE, log_graph(), ROWS["log"], local_aws.registry)
    publish_graph(
        CANDIDATE, half_graph(), ROWS["log"] | {"x": [9.0, 10.0, 11.0]}, local_aws.registry
    )
    client = AwsClient("s3", environ=environ(local_aws.endpoint_url))
    bucket = CaptureBucket(client, local_aws.outputs["CapturesBucketName"])
    store = Rollouts(
        AwsClient("dynamodb", environ=environ(local_aws.endpoint_url)),
        local_aws.outputs["RegistryTableName"],
    )
    before = [ask(local_aws, number) for number in range(REQUESTS)]
    since = time.time()
    cause = Cause(at=since, by="test")
    assert store.write(start(store.read(NAME), 2, cause, id="shadow1", steps=(1.0,)))

    def captured() -> Iterator[core.Table]:
        yield from load(bucket, find(bucket, NAME, since - 3600))

    def routed() -> bool:  # the route is cached for seconds
        ask(local_aws)
        return any(rows["rollout"].null_count < rows.num_rows for rows in captured())

    eventually(routed, 30)
    during = [ask(local_aws, number) for number in range(REQUESTS)]
    assert [body for body, _ in during] == [body for body, _ in before]
    assert {headers["X-Quintet-Version"] for _, headers in during} == {"1"}
    events = {headers["X-Quintet-Event"] for _, headers in during}

    def complete() -> Evidence | None:
        known = EvidenceObjects(bucket, bucket).read(NAME, "shadow1")
        return known if events <= set(known.event.tolist()) else None

    evidence = eventually(complete)
    evidence = evidence.take(np.isin(evidence.event, list(events)))
    assert len(evidence) == 2 * REQUESTS
    assert evidence.paired.all() and not evidence.candidate.any()
    assert not evidence.live_failed.any()
    assert evidence.candidate_failed.tolist() == [False, True] * REQUESTS
    both: dict[str, Counter[Any]] = {"live": Counter(), "shadow": Counter()}
    for rows in captured():
        for event, row, route, outcome in records(rows, "event", "row", "route", "outcome"):
            if event in events:
                both[route][event, row] += 1
                assert outcome == ("failed" if route == "shadow" and row == 1 else "scored")
    assert both["live"] == both["shadow"]
    assert both["live"].total() == 2 * REQUESTS
    assert store.write(roll_back(store.read(NAME), Cause(at=time.time(), by="test")))

    # the same version with its gates on: the evidence itself takes it back
    publish_graph(BAD, half_graph(), ROWS["log"] | {"x": [9.0, 10.0, 11.0]}, local_aws.registry)
    assert store.write(start(store.read(NAME), 3, cause, id="shadow2", steps=(1.0,)))

    def rolled_back() -> bool:
        ask(local_aws)
        return store.read(NAME).rollout is None

    eventually(rolled_back, 60)
    last = store.history(NAME)[-1]
    assert (last.event, last.after["live"]) == ("rolled back", 1)
    assert "failures" in last.cause.reason
