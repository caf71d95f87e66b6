"""A canary of a ranker on the local AWS: it answers its users, and impressions name it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import urllib3
from tests.kits import models
from tests.kits.aws import environ
from tests.kits.captures import records
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.recommending import RANKER, ROWS, ranker_graph, show_run
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.batch.candidates import CandidateSet, packed
from quintet.captures.queries import find, hourly
from quintet.contract import Feature, RolloutRule
from quintet.serving.routing import bucket
from quintet_cli.app import app

NAME, MADE = "reranker", "shelved"
#: the first step lasts longer than the test
RULE = RolloutRule(steps=(0.5, 1.0), minutes=5.0, max_minutes=10.0)
assert RANKER.recommend is not None
CONTRACT = replace(
    RANKER,
    name=NAME,
    features=(
        *RANKER.features[:-1],
        Feature(name="taste", dtype="float32", source="store", default=1.0, when_stale="default"),
    ),
    recommend=replace(RANKER.recommend, candidates=MADE),
    rollout=RULE,
)
USERS = [f"user{number}" for number in range(16)]


def published(local: LocalAws) -> None:
    """Two versions, and the users' candidates."""
    for version in (1, 2):
        contract = replace(CONTRACT, version=version)
        models.publish_graph(contract, ranker_graph(), ROWS, local.registry)
    client, now = AwsClient("dynamodb", environ=environ(local.endpoint_url)), time.time()
    ids = np.array([10, 20, 30, 40])
    sets = [CandidateSet(user, packed(ids, np.array([4.0, 3, 2, 1]))) for user in USERS]
    popular = {"": [41, 42, 43]}
    table_name = local.outputs["CandidatesTableName"]
    show_run(client, table_name, MADE, "r1", sets=sets, popular=popular, now=now)


def ask(local: LocalAws, user: str) -> dict[str, Any]:
    """The answer to a user with a basket."""
    url = f"{local.api_url}/models/{NAME}/recommendations/{user}"
    answer = urllib3.request("POST", url, json={"items": [25, 5]}, timeout=30)
    assert answer.status == 200, answer.data
    found: dict[str, Any] = answer.json()
    return found


def captured(local: LocalAws, since: float) -> Counter[tuple[str, int]]:
    """The impressions so far, and the versions that they name."""
    client = AwsClient("s3", environ=environ(local.endpoint_url))
    store = CaptureBucket(client, local.outputs["CapturesBucketName"])
    found: Counter[tuple[str, int]] = Counter()
    for rows in hourly(store, find(store, NAME, since, time.time())):
        for event, outcome, version in records(rows, "event", "outcome", "version"):
            if outcome == "recommended":
                found[event, version] += 1
    return found


def test_a_canary_answers_its_users_and_is_named_by_their_impressions(local_aws: LocalAws) -> None:
    begun = time.time()
    published(local_aws)
    eventually(lambda: ask(local_aws, "user0")["step"] == "reranked")
    words = ["rollout", "start", NAME, "2", "--skip-shadow", "--state", str(local_aws.state)]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    rollout = local_aws.registry.routes.read(NAME).route.rollout
    ours = [user for user in USERS if bucket(NAME, rollout, user) < 0.5]
    assert 0 < len(ours) < len(USERS)
    eventually(lambda: ask(local_aws, ours[0])["version"] == 2)  # what a route is cached for

    answers = [(user, ask(local_aws, user)) for _ in range(2) for user in USERS]
    assert {(user, one["version"], one["route"], one["step"]) for user, one in answers} == {
        (user, 2, "canary", "reranked") if user in ours else (user, 1, "live", "reranked")
        for user in USERS
    }
    items = {tuple(item["item"] for item in one["items"]) for _, one in answers}
    assert items == {(30, 20, 40)}
    named = Counter((one["impression"], one["version"]) for _, one in answers)
    eventually(lambda: named <= captured(local_aws, begun))

    ran = CliRunner().invoke(app, ["rollout", "rollback", NAME, "--state", str(local_aws.state)])
    assert ran.exit_code == 0, ran.output
    eventually(lambda: ask(local_aws, ours[0])["version"] == 1)
