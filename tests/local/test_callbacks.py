"""Callbacks through the whole stack: the queue, the function, its retries and its dead letters."""

from __future__ import annotations

import re
import time

from tests.kits.alerts import alert
from tests.kits.jobs import RESULT, job
from tests.kits.local_aws import LocalAws, eventually
from typer.testing import CliRunner

from quintet.aws.alerts import AlertWebhooks
from quintet.aws.client import AwsClient
from quintet.aws.deliveries import EventDeliveries, JobDeliveries
from quintet.aws.jobs import JobTable
from quintet.jobs.job import JobOutcome
from quintet.streaming.alert import content
from quintet.webhooks.events import alert_webhook_id
from quintet_cli.app import app
from quintet_cli.receiver import Receiver, receiving
from quintet_cli.stage import Stage


def lean(local: LocalAws) -> AwsClient:
    return Stage.open("local", local.state).signed("dynamodb")


def register(local: LocalAws, name: str, url: str) -> str:
    """Register an endpoint by the command; its secret."""
    words = ["endpoints", "add", name, url, "--state", str(local.state)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    (secret,) = re.findall(r"whsec_\S+", result.output)
    return str(secret)


def settle(local: LocalAws, name: str) -> str:
    """A job of that endpoint that is done; the message that tells of it."""
    now = time.time()
    table = JobTable(lean(local), local.outputs["JobsTableName"], retention_days=7)
    table.accept(job(f"job-{name}", created=now, updated=now, deadline=now + 600, endpoint=name))
    lease = table.lease(f"job-{name}", "worker", now, 60).lease
    assert lease is not None
    return table.settle(f"job-{name}", lease, JobOutcome(RESULT), now).message()


def send(local: LocalAws, body: str) -> None:
    url = local.outputs["NotifyQueueUrl"]
    local.client("sqs").send_message(QueueUrl=url, MessageBody=body)


def test_a_receiver_that_fails_at_first_is_told_again(local_aws: LocalAws) -> None:
    statuses = iter([503, 204])
    receiver = Receiver(answer=lambda received: next(statuses, 204))
    name = f"e{time.time_ns()}"
    records = JobDeliveries(lean(local_aws), local_aws.outputs["JobsTableName"])
    with receiving(receiver) as url:
        receiver.secrets = [register(local_aws, name, url)]
        send(local_aws, settle(local_aws, name))
        eventually(lambda: records.get(f"job-{name}", "webhook").state == "delivered", 30)
    assert [(r.id, r.verified) for r in receiver.received] == [(f"job_job-{name}", True)] * 2
    delivery = records.get(f"job-{name}", "webhook")
    assert (delivery.attempts, delivery.last) == (2, "204")


def test_an_alert_is_posted(local_aws: LocalAws) -> None:
    receiver, name = Receiver(), f"e{time.time_ns()}"
    found = alert(entity=name, id=f"events/shardId-000000000000/{time.time_ns()}/0")
    book = EventDeliveries(lean(local_aws), local_aws.outputs["StreamTableName"])
    sqs = Stage.open("local", local_aws.state).signed("sqs")
    with receiving(receiver) as url:
        receiver.secrets = [register(local_aws, name, url)]
        AlertWebhooks(sqs, local_aws.outputs["NotifyQueueUrl"], name).send(found)
        eventually(lambda: book.get(found.id, "webhook").state == "delivered", 30)
    (received,) = receiver.received
    assert (received.id, received.verified) == (alert_webhook_id(found), True)
    assert received.content["data"] == content(found)


def test_what_will_never_be_delivered_becomes_a_dead_letter(local_aws: LocalAws) -> None:
    name = f"e{time.time_ns()}"
    register(local_aws, name, "https://private.invalid/")
    local_aws.client("dynamodb").update_item(
        TableName=local_aws.outputs["EndpointSecretsTableName"],
        Key={"endpoint": {"S": name}},
        UpdateExpression="SET #url = :url",
        ExpressionAttributeNames={"#url": "url"},
        ExpressionAttributeValues={":url": {"S": "https://169.254.169.254/"}},
    )
    expected = {f"not ours {name}", settle(local_aws, name)}
    for body in expected:
        send(local_aws, body)
    sqs, dead = local_aws.client("sqs"), local_aws.outputs["NotifyDeadLettersUrl"]
    found: set[str] = set()

    def all_found() -> bool:
        for message in sqs.receive_message(QueueUrl=dead).get("Messages", []):
            if message["Body"] in expected:
                sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
                found.add(message["Body"])
        return found == expected

    eventually(all_found, 90)
    records = JobDeliveries(lean(local_aws), local_aws.outputs["JobsTableName"])
    delivery = records.get(f"job-{name}", "webhook")
    assert (delivery.state, delivery.last) == ("given_up", "address refused")
