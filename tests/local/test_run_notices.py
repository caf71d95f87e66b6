"""The end of a run, told to who subscribed to the stack's topic."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import ROOT, LocalAws, eventually, start_local_aws
from typer.testing import CliRunner, Result

from quintet.aws.deliveries import EventDeliveries
from quintet.batch.plans import RunPaths, run_context, run_name
from quintet_cli.app import app
from quintet_cli.receiver import Receiver, receiving
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage

CUSTOMERS = ROOT / "models/churn/data/customers.csv"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS with the churn model published."""
    found = start_local_aws(tmp_path_factory.mktemp("run-notices"))
    try:
        words = ["publish", str(ROOT / "models/churn"), "--state", str(found.state)]
        assert CliRunner().invoke(app, words).exit_code == 0
        yield found
    finally:
        found.stop()


def subscribed(local: LocalAws, name: str, **attributes: str) -> str:
    """A queue that is told how runs end."""
    sqs = local.client("sqs")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    local.client("sns").subscribe(
        TopicArn=local.outputs["RunsTopicArn"],
        Protocol="sqs",
        Endpoint=arn["QueueArn"],
        Attributes=attributes,
    )
    return url


def told(local: LocalAws, url: str) -> list[dict[str, Any]]:
    found = local.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in found.get("Messages", [])]


def drop(local: LocalAws, name: str, body: bytes) -> RunPaths:
    bucket = local.outputs["InboxBucketName"]
    key = f"churn/{name}"
    put = local.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return RunPaths("churn", run_name(bucket, key, put["VersionId"]))


def test_the_end_of_a_run_is_told(local: LocalAws, tmp_path: Path) -> None:
    all_runs = subscribed(local, "all-runs")
    bad_runs = subscribed(
        local,
        "bad-runs",
        FilterPolicy=json.dumps({"status": ["failed", "refused"]}),
        RawMessageDelivery="true",
    )
    good = drop(local, "good.csv", CUSTOMERS.read_bytes())
    (notice,) = eventually(lambda: told(local, all_runs))
    assert notice["Subject"] == "Quintet run succeeded"
    assert notice["MessageAttributes"]["model"] == {"Type": "String", "Value": "churn"}
    message = json.loads(notice["Message"])
    assert message == {
        "run": good.run,
        "model": "churn",
        "status": "succeeded",
        "cause": "",
        "bucket": local.outputs["ScoresBucketName"],
        "report": good.report,
        "page": good.page,
        "counts": {
            "rows": 4335,
            "scored": 4335,
            "quarantined": 0,
            "fallback": 0,
            "unaccounted": 0,
        },
        "finished": message["finished"],
        "seconds": message["seconds"],
        "drift": message["drift"],
        "callback": None,
        "traceparent": run_context(good.run),
    }
    refused = drop(local, "empty.csv", b"")
    (message,) = eventually(lambda: told(local, bad_runs))
    assert (message["run"], message["status"]) == (refused.run, "refused")
    assert message["cause"].endswith("got an empty file (0 bytes)")


def command(local: LocalAws, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--state", str(local.state)])


def test_the_end_of_a_run_is_called_out_signed_and_again_under_its_id(local: LocalAws) -> None:
    bucket = local.outputs["InboxBucketName"]
    key = "_data/churn/called/customers.csv"
    local.client("s3").put_object(Bucket=bucket, Key=key, Body=CUSTOMERS.read_bytes())
    asked = ("runs", "start", "churn", "--prefix", "_data/churn/called/", "--callback", "crm")
    unknown = command(local, *asked)
    assert unknown.exit_code == 1
    assert str(unknown.exception) == (
        "--callback: expected the id of a registered endpoint, got 'crm'"
    )
    statuses = iter([503])
    receiver = Receiver(answer=lambda received: next(statuses, 204))
    with receiving(receiver) as url:
        secret = command(local, "endpoints", "add", "crm", url).output
        receiver.secrets = re.findall(r"whsec_\S+", secret)
        assert command(local, *asked).exit_code == 0
        folder = RunReader(Stage.open("local", local.state)).newest("churn")
        stream = Stage.open("local", local.state).signed("dynamodb")
        records = EventDeliveries(stream, local.outputs["StreamTableName"])
        subject = f"run/{folder.run}"
        eventually(lambda: records.get(subject, "webhook").state == "delivered", 60)
        assert command(local, *asked).exit_code == 0  # it has ended: nobody is called again
    assert [(r.id, r.verified) for r in receiver.received] == [(f"run_{folder.run}", True)] * 2
    assert len({r.body for r in receiver.received}) == 1
    content = receiver.received[0].content
    report = RunReader(Stage.open("local", local.state)).reported(folder)
    assert content == {
        "type": "run.succeeded",
        "timestamp": report["finished"],
        "data": {
            "run": folder.run,
            "model": "churn",
            "status": "succeeded",
            "cause": "",
            "bucket": local.outputs["ScoresBucketName"],
            "report": folder.report,
            "page": folder.page,
            "counts": report["counts"],
            "seconds": report["seconds"],
            "drift": content["data"]["drift"],
        },
    }


def test_a_run_that_ends_without_a_report_is_announced_and_called_back(local: LocalAws) -> None:
    told_of = subscribed(local, "unreported", RawMessageDelivery="true")
    folder = RunPaths("churn", "churn-without-a-report")
    # neither plan_run nor report_run can read such a plan
    local.client("s3").put_object(
        Bucket=local.outputs["ScoresBucketName"], Key=folder.plan, Body=b"{}"
    )
    receiver = Receiver()
    with receiving(receiver) as url:
        secret = command(local, "endpoints", "add", "late", url).output
        receiver.secrets = re.findall(r"whsec_\S+", secret)
        request = {"bucket": "b", "key": "churn/a.csv", "model": "churn", "callback": "late"}
        states = local.client("stepfunctions")
        execution = states.start_execution(
            stateMachineArn=local.outputs["BatchScoringArn"],
            name=folder.run,
            input=json.dumps(request),
        )["executionArn"]
        found = eventually(lambda: [m for m in told(local, told_of) if m["run"] == folder.run], 90)
        stream = Stage.open("local", local.state).signed("dynamodb")
        records = EventDeliveries(stream, local.outputs["StreamTableName"])
        subject = f"run/{folder.run}"
        eventually(lambda: records.get(subject, "webhook").state == "delivered", 60)
    (message,) = found
    assert (message["model"], message["status"], message["report"]) == ("churn", "failed", None)
    assert message["cause"] == "The report could not be written; the logs of report_run say why."
    ended = eventually(
        lambda: [e for e in [states.describe_execution(executionArn=execution)] if "error" in e]
    )
    assert ended[0]["error"] == "Quintet.RunNotReported"
