"""A rollout of a model with sensitive features on the local AWS: compared, and shown nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.request import Request, urlopen

import pytest
from arro3 import core
from tests.kits.aws import environ
from tests.kits.captures import records
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.models import GRAPHS, ROWS, TEXT, publish_graph

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.aws.keys import CaptureKey
from quintet.aws.rollouts import Rollouts
from quintet.captures.queries import find, load
from quintet.captures.sealing import DataKey
from quintet.contract import Capture, Gates, RolloutRule
from quintet.errors import Transient
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.store import Cause
from quintet.rollouts.transitions import start

NAME, PLANTED = "sealed", "planted-93be"
WATCHED = RolloutRule(gates=Gates(failures="dry_run", score="dry_run", labels="dry_run"))
LIVE = replace(TEXT, name=NAME, version=1, capture=Capture(days=7, sensitive="encrypted"))
CANDIDATE = replace(LIVE, version=2, rollout=WATCHED)


def test_a_sensitive_feature_is_compared_in_shadow_and_shown_nowhere(local_aws: LocalAws) -> None:
    for contract in (LIVE, CANDIDATE):
        publish_graph(contract, GRAPHS["text"](), ROWS["text"], local_aws.registry)
    bucket = CaptureBucket(
        AwsClient("s3", environ=environ(local_aws.endpoint_url)),
        local_aws.outputs["CapturesBucketName"],
    )
    store = Rollouts(
        AwsClient("dynamodb", environ=environ(local_aws.endpoint_url)),
        local_aws.outputs["RegistryTableName"],
    )
    since = time.time()
    cause = Cause(at=since, by="test")
    assert store.write(start(store.read(NAME), 2, cause, id="sealed1", steps=(1.0,)))
    events = set()

    def ask() -> None:
        body = json.dumps({"records": [{"text": f"shirt {PLANTED}"}, {"text": "a dress"}]})
        with urlopen(
            Request(f"{local_aws.api_url}/models/{NAME}/predict", body.encode()), timeout=30
        ) as answer:
            events.add(answer.headers["X-Quintet-Event"])

    def captured() -> Iterator[core.Table]:
        yield from load(bucket, find(bucket, NAME, since - 3600))

    def complete() -> Evidence | None:
        ask()
        known = EvidenceObjects(bucket, bucket).read(NAME, "sealed1")
        return known if known.paired.any() else None

    evidence = eventually(complete, 60)
    assert evidence.paired.all()
    assert not (evidence.live_failed | evidence.candidate_failed | evidence.changed).any()

    routes = set()
    for table in captured():
        for (route,) in set(records(table, "route")):
            routes.add(route)
            assert ("sealed" in table.column_names) == (route == "live")
        assert "feature_text" not in table.column_names
    assert routes == {"live", "shadow"}
    client = local_aws.client("s3")
    for name in (one["Name"] for one in client.list_buckets()["Buckets"]):
        for found in client.list_objects_v2(Bucket=name).get("Contents", []):
            body = client.get_object(Bucket=name, Key=found["Key"])["Body"].read()
            assert PLANTED.encode() not in body, found["Key"]
    with urlopen(f"{local_aws.endpoint_url}/_quintet/health") as page:
        told = json.load(page)["not_allowed"]
    assert [line for line in told if "kms" in line] == []
    for log in (local_aws.state / "logs").iterdir():
        assert PLANTED not in log.read_text(), log.name


@pytest.fixture
def key(local_aws: LocalAws) -> CaptureKey:
    """The stage's key, as functions use it."""
    client = AwsClient("kms", environ=environ(local_aws.endpoint_url), attempts=1)
    return CaptureKey(client, local_aws.outputs["CaptureKeyArn"], "local")


def test_a_disabled_key_makes_and_opens_no_data_keys(local_aws: LocalAws, key: CaptureKey) -> None:
    made = key.make()
    assert (len(made.plain), key.unwrap(made.wrapped)) == (32, made.plain)
    kms, arn = local_aws.client("kms"), local_aws.outputs["CaptureKeyArn"]
    kms.disable_key(KeyId=arn)
    try:
        assert key.unwrap(made.wrapped) is None
        with pytest.raises(Transient, match=r"kms made no data key \(DisabledException\)"):
            key.make()
    finally:
        kms.enable_key(KeyId=arn)
    assert key.unwrap(made.wrapped) == made.plain


def test_a_data_key_opens_for_its_stage_alone_and_only_whole(
    local_aws: LocalAws, key: CaptureKey
) -> None:
    client = AwsClient("kms", environ=environ(local_aws.endpoint_url), attempts=1)
    made: DataKey = key.make()
    other = CaptureKey(client, local_aws.outputs["CaptureKeyArn"], "prod")
    assert other.unwrap(made.wrapped) is None
    assert key.unwrap(made.wrapped[:-1] + b"x") is None
    gone = CaptureKey(client, local_aws.outputs["CaptureKeyArn"][:-4] + "0000", "local")
    with pytest.raises(Transient, match="NotFoundException"):
        gone.make()
