"""What all events of events/ refer to on a running local AWS; tests/kits/events.py has a part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kits import batch, events, models
from tests.kits.aws import ROOT, environ
from tests.kits.jobs import RESULT
from tests.kits.jobs import job as any_job
from tests.kits.local_aws import LocalAws
from tests.kits.registries import release_of
from tests.kits.workers import job

from quintet.aws.client import AwsClient
from quintet.aws.endpoints import EndpointTable
from quintet.aws.features import entity_key
from quintet.aws.jobs import JobTable
from quintet.aws.latest import LatestTable
from quintet.jobs.job import Job, JobOutcome
from quintet.streaming.latest import Latest
from quintet.webhooks.endpoints import register
from quintet_cli.receiver import Receiver, receiving

__all__ = ["ANN", "world"]

ANN = "arn:aws:iam::123456789012:user/ann"


@contextmanager
def world(local: LocalAws) -> Iterator[Receiver]:
    """Put it there; a receiver listens for what is posted to the endpoint `ops`."""
    events.prepare(local)
    registry, s3 = events.registry_of(local), local.client("s3")
    dynamodb = local.client("dynamodb")
    for contract in (models.SHOP, models.SHELF):
        models.publish(contract, s3, dynamodb, registry.bucket, registry.table)
    registry.publisher.publish(release_of(ROOT / "models/tickets"), "2026-01-01T00:00:00+00:00")
    s3.put_object(Bucket=local.outputs["PayloadsBucketName"], Key="inputs/rows.csv", Body=b"3,1\n")
    for bucket in (events.INBOX, local.outputs["InboxBucketName"]):
        body = batch.csv_bytes(events.ROWS)
        s3.put_object(Bucket=bucket, Key="_data/tiny/month=2026-01/a.csv", Body=body)
    _features(local)
    _jobs(local)
    _scores(local)
    receiver = Receiver()
    with receiving(receiver) as url:
        endpoint = register("ops", url, scope="loopback", created="now", random=os.urandom)
        tables = (local.outputs[f"{kind}TableName"] for kind in ("Endpoints", "EndpointSecrets"))
        EndpointTable(_lean(local), *tables).put(endpoint, None)
        receiver.secrets = [endpoint.secrets[0].text]
        yield receiver


def _lean(local: LocalAws) -> AwsClient:
    return AwsClient("dynamodb", environ=environ(local.endpoint_url))


def _features(local: LocalAws) -> None:
    """The orders of customer c1; nothing is known of c2."""
    item: dict[str, Any] = {
        "entity": {"S": entity_key("customer", "c1")},
        "orders_90d": {"N": "2"},
        "orders_90d@": {"N": str(time.time())},
    }
    local.client("dynamodb").put_item(TableName=local.outputs["FeaturesTableName"], Item=item)


def _jobs(local: LocalAws) -> None:
    """Jobs that only the events are about: two of `log`, and one of `shop` that is done."""
    store = JobTable(_lean(local), local.outputs["JobsTableName"], retention_days=7)
    now = time.time()
    times = {"created": now, "updated": now, "deadline": now + 3600}
    body = {"records": [{"x": 2.0}]}
    made: list[Job] = [
        job("0190a5c2e7b04d6f8a1b2c3d4e5f6072", {"records": [{"x": 9.0}]}, **times),
        job("0f8c2f0e5d6b4d0a9b1e3c7a5f4e2d1c", body, owner=ANN, endpoint=None, **times),
        any_job("j1", notify_topic=True, endpoint="ops", **times),
    ]
    for one in made:
        _, notice = store.accept(one)
        assert notice is not None
        store.sent(notice)  # the message is the event
    lease = store.lease("j1", "worker", now, 60).lease
    assert lease is not None
    store.settle("j1", lease, JobOutcome(RESULT), now)


def _scores(local: LocalAws) -> None:
    """The latest score of the customer that is looked up."""
    latest = Latest(
        model="tiny",
        entity_key="customer",
        entity="c7",
        outputs={"score": 0.5},
        version=3,
        arrived=1_800_000_000.0,
        sequence="1",
    )
    table = local.outputs["ScoresTableName"]
    LatestTable(_lean(local), table, kept_seconds=10 * 365 * 86_400).put([latest])
