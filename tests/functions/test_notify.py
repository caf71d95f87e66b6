"""notify: over moto's services, to a receiver and a topic, by the events of events/."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.aws import ROOT, forget_built, load_app, moto_server
from tests.kits.jobs import RESULT, job, job_table, table_properties
from tests.kits.registries import RegistryServer

from quintet.aws.client import AwsClient
from quintet.aws.deliveries import JobDeliveries
from quintet.aws.endpoints import EndpointTable
from quintet.aws.jobs import JobTable
from quintet.jobs.job import Job, JobOutcome
from quintet.webhooks.delivery import Delivery
from quintet.webhooks.endpoints import Endpoint, register
from quintet_cli.receiver import Receiver, receiving

Handler = Callable[[dict[str, Any], object], dict[str, Any]]
SETTLED: dict[str, Any] = {"batchItemFailures": []}
FAILED = {"batchItemFailures": [{"itemIdentifier": "6d2f1c3e-5b1a-4a51-9a0e-1f3a6c0d2b11"}]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


class Aws:
    """The tables, the queue with one message in flight, and a topic that a queue listens to."""

    def __init__(self, url: str) -> None:
        self.server = RegistryServer(url, "none", "none")
        self.jobs: JobTable = job_table(url)
        self.name = self.jobs.name
        lean = AwsClient("dynamodb", environ=self.server.environ)
        tables = [f"{kind}-of-{self.name}" for kind in ("endpoints", "secrets")]
        for table in tables:
            self.server.client("dynamodb").create_table(
                TableName=table, **table_properties("EndpointsTable")
            )
        stream_table = f"stream-of-{self.name}"
        self.server.client("dynamodb").create_table(
            TableName=stream_table, **table_properties("StreamTable")
        )
        self.endpoints = EndpointTable(lean, *tables)
        self.deliveries = JobDeliveries(lean, self.name)
        self.sqs, sns = self.server.client("sqs"), self.server.client("sns")
        self.queue = self.sqs.create_queue(
            QueueName=f"notify-{self.name}", Attributes={"VisibilityTimeout": "180"}
        )["QueueUrl"]
        self.dead = self.sqs.create_queue(QueueName=f"notify-dead-{self.name}")["QueueUrl"]
        self.inbox = self.sqs.create_queue(QueueName=f"inbox-{self.name}")["QueueUrl"]
        topic = sns.create_topic(Name=f"jobs-{self.name}")["TopicArn"]
        arn = f"arn:aws:sqs:us-east-1:123456789012:inbox-{self.name}"
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
        )
        self.environ = {
            **self.server.environ,
            "POWERTOOLS_SERVICE_NAME": "notify",
            "POWERTOOLS_METRICS_NAMESPACE": "Quintet",
            "QUINTET_STAGE": "test",
            "QUINTET_JOBS_TABLE": self.name,
            "QUINTET_ENDPOINTS_TABLE": tables[0],
            "QUINTET_ENDPOINT_SECRETS_TABLE": tables[1],
            "QUINTET_NOTIFY_QUEUE_URL": self.queue,
            "QUINTET_NOTIFY_DEAD_LETTERS_URL": self.dead,
            "QUINTET_NOTIFY_MAX_CONCURRENCY": "10",
            "QUINTET_JOBS_TOPIC_ARN": topic,
            "QUINTET_CALLBACK_HOSTS": "loopback",
            "QUINTET_JOB_RETENTION_DAYS": "7",
            "QUINTET_STREAM_TABLE": stream_table,
        }

    def settle(self, **changes: Any) -> Job:
        """A job that is done."""
        now = time.time()
        made = job(created=now, updated=now, deadline=now + 600, **changes)
        self.jobs.accept(made)
        lease = self.jobs.lease(made.id, "worker", now, 60).lease
        assert lease is not None
        self.jobs.settle(made.id, lease, JobOutcome(RESULT), now)
        return self.jobs.get(made.id)

    def register(self, url: str, name: str = "crm") -> Endpoint:
        """Register an endpoint."""
        made = register(name, url, scope="loopback", created="now", random=os.urandom)
        self.endpoints.put(made, None)
        return made

    def received(self, name: str = "notify_completed") -> dict[str, Any]:
        """An event, with a message that is really in flight."""
        found = event(name)
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=found["Records"][0]["body"])
        (message,) = self.sqs.receive_message(QueueUrl=self.queue)["Messages"]
        found["Records"][0]["receiptHandle"] = message["ReceiptHandle"]
        return found

    def dead_letters(self) -> list[str]:
        """The bodies of the first dead letters."""
        found = self.sqs.receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]

    def waiting(self) -> int:
        """How many messages of the queue can be received now."""
        attribute = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=[attribute])
        return int(found["Attributes"][attribute])


@pytest.fixture
def aws(url: str) -> Aws:
    return Aws(url)


@pytest.fixture
def handler(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    for variable in [v for v in os.environ if v.startswith(("QUINTET_", "AWS_"))]:
        monkeypatch.delenv(variable)
    for variable, value in aws.environ.items():
        monkeypatch.setenv(variable, value)
    forget_built("notify")
    yield load_app("notify").handler
    forget_built("notify")


def event(name: str) -> dict[str, Any]:
    """One of the events of events/."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return found


def written(out: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log lines, and the metrics without what differs from run to run."""
    found = [json.loads(line) for line in out.splitlines()]
    metrics = [line for line in found if "_aws" in line]
    for document in metrics:
        (told,) = document.pop("_aws")["CloudWatchMetrics"]
        document["dimensions"] = sorted(told["Dimensions"][0])
        document["units"] = {metric["Name"]: metric["Unit"] for metric in told["Metrics"]}
    return [line for line in found if "level" in line], metrics


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The log lines, without what differs from run to run."""
    found, _ = written(capsys.readouterr().out)
    kept = ("level", "message", "job", "channel", "endpoint", "state", "attempts", "last", "reason")
    return [{name: line[name] for name in kept if name in line} for line in found]


def test_a_job_is_announced_on_both_channels(
    aws: Aws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = Receiver()
    with receiving(receiver) as url:
        receiver.secrets = [aws.register(f"{url}/hook?token=canary").secrets[0].text]
        done = aws.settle(endpoint="crm", notify_topic=True)
        assert handler(event("notify_completed"), None) == SETTLED
        assert handler(event("notify_completed"), None) == SETTLED  # SQS delivers it twice
    (received,) = receiver.received
    assert (received.id, received.verified) == ("job_j1", True)
    assert received.content["data"]["result"] == {"a": 1}
    messages = aws.sqs.receive_message(QueueUrl=aws.inbox, MaxNumberOfMessages=10)["Messages"]
    (told,) = [json.loads(message["Body"]) for message in messages]
    assert (told["invocationStatus"], told["awsRegion"]) == ("Completed", "us-east-1")
    delivery = aws.deliveries.get("j1", "webhook")
    assert delivery == Delivery(
        "delivered", 1, "204", started=delivery.started, delivered=delivery.delivered
    )
    assert aws.jobs.get("j1") == done
    common = {"level": "INFO", "message": "announced", "job": "j1", "state": "delivered"}
    logged = capsys.readouterr()
    assert "canary" not in logged.out + logged.err
    found, _ = written(logged.out)
    assert [{**line, **common} for line in found] == found
    assert [(line["channel"], line["attempts"], line["last"]) for line in found] == [
        ("webhook", 1, "204"),
        ("sns", 1, "published"),
    ]


def test_a_failed_attempt_comes_back_in_its_own_time(aws: Aws, handler: Handler) -> None:
    receiver = Receiver(answer=lambda received: 503)
    with receiving(receiver) as url:
        aws.register(url)
        aws.settle(endpoint="crm")
        found = aws.received()
        assert handler(found, None) == FAILED
        assert handler(found, None) == FAILED  # too early: nothing is sent
    assert len(receiver.received) == 1
    delivery = aws.deliveries.get("j1", "webhook")
    assert (delivery.state, delivery.attempts, delivery.last) == ("waiting", 1, "503")
    assert aws.waiting() == 0


def test_attempts_are_counted_and_the_age_of_what_was_delivered_is_told(
    aws: Aws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    statuses = iter([503, 204])
    receiver = Receiver(answer=lambda received: next(statuses))
    with receiving(receiver) as url:
        aws.register(url)
        done = aws.settle(endpoint="crm")
        assert handler(aws.received(), None) == FAILED
        waiting = aws.deliveries.get("j1", "webhook")
        aws.deliveries.put("j1", "webhook", replace(waiting, next=0.0))
        assert handler(aws.received(), None) == SETTLED
    _, (retried, waits, delivered) = written(capsys.readouterr().out)
    common = {
        "stage": "test",
        "model": "shop",
        "channel": "webhook",
        "dimensions": ["channel", "model", "service", "stage"],
        "service": "notify",
    }
    assert retried == {
        **common,
        "callbacks_retried_count": [1.0],
        "units": {"callbacks_retried_count": "Count"},
    }
    # what CallbackAgeAlarm is about, by the dimensions that it names
    assert waits.pop("callback_waiting_seconds")[0] >= 0
    assert waits == {
        "stage": "test",
        "service": "notify",
        "dimensions": ["service", "stage"],
        "units": {"callback_waiting_seconds": "Seconds"},
    }
    at = aws.deliveries.get("j1", "webhook").delivered
    assert at is not None
    assert delivered == {
        **common,
        "callbacks_delivered_count": [1.0],
        "callback_age_seconds": [at - done.updated],
        "units": {"callbacks_delivered_count": "Count", "callback_age_seconds": "Seconds"},
    }


def test_what_was_given_up_goes_to_the_dead_letters_at_once(
    aws: Aws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    # registered before the stage was closed, say
    endpoint = replace(aws.register("http://127.0.0.1:9/"), url="https://169.254.169.254/")
    aws.endpoints.remove("crm")
    aws.endpoints.put(endpoint, None)
    aws.settle(endpoint="crm")
    sent = aws.received()
    assert handler(sent, None) == SETTLED
    assert aws.dead_letters() == [sent["Records"][0]["body"]]
    assert lines(capsys) == [
        {
            "level": "WARNING",
            "message": "announced",
            "job": "j1",
            "channel": "webhook",
            "endpoint": "crm",
            "state": "given_up",
            "attempts": 1,
            "last": "address refused",
        },
        {
            "level": "WARNING",
            "message": "dead letter",
            "reason": "given up after 1 attempts, the last: address refused",
        },
    ]


def test_a_topic_that_does_not_answer_is_tried_again(
    aws: Aws, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUINTET_JOBS_TOPIC_ARN", aws.environ["QUINTET_JOBS_TOPIC_ARN"] + "-none")
    aws.settle(notify_topic=True)
    assert handler(event("notify_completed"), None) == FAILED
    delivery = aws.deliveries.get("j1", "sns")
    assert (delivery.state, delivery.last) == ("waiting", "NotFound")


def test_a_message_that_is_not_ours_is_a_dead_letter(
    aws: Aws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = aws.received("notify_not_ours")
    assert handler(sent, None) == SETTLED
    assert aws.dead_letters() == [sent["Records"][0]["body"]]
    reason = "message: expected the type job, alert or run, got something else"
    assert lines(capsys) == [{"level": "WARNING", "message": "dead letter", "reason": reason}]


def test_a_dead_letter_that_cannot_be_written_comes_back(
    aws: Aws, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUINTET_NOTIFY_DEAD_LETTERS_URL", aws.dead + "-none")
    assert handler(aws.received("notify_not_ours"), None) == FAILED


def test_a_job_that_is_gone_or_wants_no_answer_is_acknowledged(aws: Aws, handler: Handler) -> None:
    assert handler(event("notify_completed"), None) == SETTLED
    aws.settle()
    assert handler(event("notify_completed"), None) == SETTLED


def test_a_table_that_does_not_answer_leaves_the_message(
    aws: Aws, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUINTET_JOBS_TABLE", "no-such-table")
    assert handler(event("notify_completed"), None) == FAILED
