"""Dead letters of the whole stack, replayed by the command: the functions take them."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.local_aws import LocalAws, eventually
from typer.testing import CliRunner

from quintet.batch.drops import Dropped
from quintet_cli.app import app


def dlq(local: LocalAws, *arguments: str) -> str:
    result = CliRunner().invoke(
        app, ["dlq", *arguments, "--state", str(local.state)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    return result.output


def notice(bucket: str, key: str) -> dict[str, Any]:
    entity = {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "1"}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": entity}]}


def test_every_dead_letter_queue_of_the_template_is_listed(local_aws: LocalAws) -> None:
    sources = {line.split()[0]: line.split()[-1] for line in dlq(local_aws, "ls").splitlines()[1:]}
    urls = local_aws.client("sqs").list_queues()["QueueUrls"]
    policies = [
        local_aws.client("sqs")
        .get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        .get("Attributes", {})
        for url in urls
    ]
    targets = {
        json.loads(policy["RedrivePolicy"])["deadLetterTargetArn"].rsplit("-", 1)[-1]
        for policy in policies
        if policy
    }
    assert set(sources) == {"DropDeadLetters", "NotifyDeadLetters", "WorkDeadLetters"} == targets


def test_a_replayed_notification_starts_its_run(local_aws: LocalAws) -> None:
    bucket, sqs = local_aws.outputs["InboxBucketName"], local_aws.client("sqs")
    key = f"nothing-{time.time_ns()}/a.csv"
    body = json.dumps(notice(bucket, key))
    url = local_aws.outputs["DropDeadLettersUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]
    model = key.partition("/")[0]
    assert body in dlq(local_aws, "show", "drop", "--filter", f"model={model}")
    output = dlq(local_aws, "replay", "drop", "--filter", f"model={model}")
    assert output.lstrip().startswith("1 sent to ")
    run = Dropped(bucket, key, None, "1").run
    eventually(lambda: run in local_aws.logs("Drop"))
    place = output.rsplit(maxsplit=1)[-1].removeprefix("s3://")
    scores, _, record_key = place.partition("/")
    record = json.load(local_aws.client("s3").get_object(Bucket=scores, Key=record_key)["Body"])
    assert scores == local_aws.outputs["ScoresBucketName"]
    assert record["who"]["arn"].startswith("arn:aws:")
    assert [(m["message"], m["job"]) for m in record["messages"]] == [(sent, None)]
    assert dlq(local_aws, "show", "drop", "--filter", f"model={model}").startswith("nothing")


def test_replayed_work_reaches_the_workers(local_aws: LocalAws) -> None:
    job = f"gone-{time.time_ns()}"
    body = json.dumps({"job": job, "event": "accepted"})
    url = local_aws.outputs["WorkDeadLettersUrl"]
    local_aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)
    assert f"job {job}: unknown" in dlq(local_aws, "show", "work", "--filter", f"job={job}")
    output = dlq(local_aws, "replay", "work", "--filter", f"job={job}")
    assert "1 sent to quintet-local-WorkQueue, 0 jobs reopened" in output
    # the job is not in the table: its message is acknowledged, with a line in the log
    eventually(lambda: job in local_aws.logs("Work"))
