"""work and sweep, from Lambda's events to what is stored and sent, on moto's services."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.functions.conftest import OnlineAws
from tests.kits.aws import forget_built, load_app
from tests.kits.jobs import table_properties
from tests.kits.workers import job as accepted_job

from quintet.aws.client import AwsClient
from quintet.aws.jobs import JobTable
from quintet.jobs.job import MAX_BROKEN, Content, Job
from quintet.jobs.store import JobEvent

_numbers = itertools.count(1)


@dataclass
class Context:
    """Lambda's context with a minute left."""

    left_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@dataclass
class WorkAws:
    """The asynchronous path's resources on moto, and the functions in a fresh environment."""

    aws: OnlineAws
    environ: dict[str, str]
    jobs: JobTable
    failed: list[str] = field(default_factory=list)  # receipt handles of the last `work`

    def handler(self, function: str) -> Any:
        """A function's handler."""
        return load_app(function).handler

    def accept(self, *jobs: Job, sent: bool = True) -> None:
        """Accept jobs, and send their messages or not."""
        for one in jobs:
            _, event = self.jobs.accept(one)
            assert event is not None
            if sent:
                self.send(event.message())
                self.jobs.sent(event)

    def send(self, body: str) -> None:
        """Put a message on the work queue."""
        url = self.environ["QUINTET_WORK_QUEUE_URL"]
        self.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)

    def received(self, queue: str) -> list[dict[str, Any]]:
        """What is on a queue now, as its messages."""
        return self._take(self.environ[f"QUINTET_{queue}_QUEUE_URL"])

    def lying(self, url: str) -> list[str]:
        """The bodies of what is on the queue of that URL and in nobody's hands."""
        return [message["Body"] for message in self._take(url)]

    def _take(self, url: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = self.aws.client("sqs").receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]
            )
            if not answer.get("Messages"):
                return found
            found += answer["Messages"]

    def work(self, receives: int | None = None) -> list[str]:
        """Invoke work with all that is on its queue; the bodies of those that failed."""
        messages = self.received("WORK")
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {
                    **message["Attributes"],
                    **({"ApproximateReceiveCount": str(receives)} if receives else {}),
                },
                "eventSource": "aws:sqs",
            }
            for message in messages
        ]
        answer = self.handler("work")({"Records": records}, Context())
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        url = self.environ["QUINTET_WORK_QUEUE_URL"]
        for message in messages:
            if message["MessageId"] not in failed:
                self.aws.client("sqs").delete_message(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]
                )
        retried = [message for message in messages if message["MessageId"] in failed]
        self.failed = [message["ReceiptHandle"] for message in retried]
        return [message["Body"] for message in retried]

    def come_back(self) -> None:
        """Make the messages that failed visible now, before their backoff is over."""
        url = self.environ["QUINTET_WORK_QUEUE_URL"]
        for handle in self.failed:
            self.aws.client("sqs").change_message_visibility(
                QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
            )

    def notified(self) -> list[dict[str, str]]:
        """The events on the notify queue."""
        return [json.loads(message["Body"]) for message in self.received("NOTIFY")]

    def put(self, key: str, body: bytes) -> Content:
        """An input in S3, as a request's content."""
        bucket = self.environ["QUINTET_PAYLOADS_BUCKET"]
        self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return Content("application/json", len(body), place=f"s3://{bucket}/{key}")


@pytest.fixture
def work_aws(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkAws]:
    number = next(_numbers)
    for name, value in online_aws.environ.items():
        monkeypatch.setenv(name, value)
    sqs = online_aws.client("sqs")
    names = {
        "QUINTET_JOBS_TABLE": f"work-jobs-{number}",
        "QUINTET_PAYLOADS_BUCKET": f"work-payloads-{number}",
        **{
            f"QUINTET_{queue}_QUEUE_URL": sqs.create_queue(
                QueueName=f"{queue.lower()}-{number}", Attributes={"VisibilityTimeout": "360"}
            )["QueueUrl"]
            for queue in ("WORK", "NOTIFY")
        },
        "QUINTET_WORK_DEAD_LETTERS_URL": sqs.create_queue(QueueName=f"dead-{number}")["QueueUrl"],
    }
    online_aws.client("s3").create_bucket(Bucket=names["QUINTET_PAYLOADS_BUCKET"])
    online_aws.client("dynamodb").create_table(
        TableName=names["QUINTET_JOBS_TABLE"], **table_properties("JobsTable")
    )
    environ = {
        **online_aws.environ,
        **names,
        "QUINTET_MODEL_MEMORY_MB": "256",
        "QUINTET_WORK_TIMEOUT_SECONDS": "60",
        "QUINTET_WORK_VISIBILITY_SECONDS": "360",
        "QUINTET_JOB_RETENTION_DAYS": "7",
        "POWERTOOLS_SERVICE_NAME": "work",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    forget_built("work")
    jobs = JobTable(AwsClient("dynamodb"), names["QUINTET_JOBS_TABLE"], retention_days=7)
    yield WorkAws(online_aws, environ, jobs)
    forget_built("work")


def job(name: str, *values: float, **changes: Any) -> Job:
    now = time.time()
    times = {"created": now, "updated": now, "deadline": now + 3600}
    return accepted_job(name, {"records": [{"x": v} for v in values]}, **times | changes)


def result(work_aws: WorkAws, name: str) -> Any:
    found = work_aws.jobs.get(name).result
    assert found is not None
    if found.place is None:
        return json.loads(found.body or b"")
    bucket, _, key = found.place.removeprefix("s3://").partition("/")
    body = work_aws.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert len(body) == found.size
    return json.loads(body)


def test_a_batch_is_scored_stored_settled_published_and_acknowledged(
    work_aws: WorkAws, capsys: pytest.CaptureFixture[str]
) -> None:
    work_aws.accept(*[job(str(n), n + 1.0) for n in range(12)])
    assert work_aws.work() == []
    for n in range(12):
        assert work_aws.jobs.get(str(n)).state == "DONE"
        (found,) = result(work_aws, str(n))["predictions"]
        assert found["logs"] == pytest.approx([math.log(n + 1)] * 2, rel=1e-6)
    sent = sorted(work_aws.notified(), key=lambda event: int(event["job"]))
    assert sent == [{"type": "job", "job": str(n), "event": "completed"} for n in range(12)]
    assert work_aws.jobs.outbox(time.time() + 3600) == []
    assert work_aws.received("WORK") == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["job"] for line in lines} == {str(n) for n in range(12)}
    assert {(line["message"], line["model"], line["rows"]) for line in lines} == {
        ("completed", "log", 1)
    }


@pytest.mark.parametrize(
    ("told", "calls"),
    [
        (
            {"endpoint": "crm"},
            {
                "TransactWriteItems": 2,  # the leases; the ends and their events
                "BatchGetItem": 1,
                "SendMessageBatch": 1,
                "BatchWriteItem": 1,
            },
        ),
        ({"endpoint": None}, {"TransactWriteItems": 2, "BatchGetItem": 1}),
    ],
)
def test_the_jobs_of_a_batch_take_few_calls_together(
    work_aws: WorkAws,
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, Any],
    calls: dict[str, int],
) -> None:
    work_aws.accept(job("warm", 1.0))  # reads the registry
    work_aws.work()
    work_aws.accept(*[job(str(n), n + 1.0, **told) for n in range(8)])
    seen: Counter[str] = Counter()
    request = AwsClient.request

    def counting(client: AwsClient, *given: Any, **more: Any) -> Any:
        seen[more["headers"]["x-amz-target"].rpartition(".")[2]] += 1
        return request(client, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(AwsClient, "request", counting)
        assert work_aws.work() == []
    assert seen == calls
    assert {work_aws.jobs.get(str(n)).state for n in range(8)} == {"DONE"}


def test_inputs_and_results_in_s3(work_aws: WorkAws) -> None:
    rows = json.dumps({"records": [{"x": 2.0}]}).encode()
    work_aws.accept(
        job("here", request=work_aws.put("inputs/here", rows)),
        job("empty", request=work_aws.put("inputs/empty", b"")),
        job("gone", request=replace(work_aws.put("inputs/gone", b"{}"), place="s3://other/gone")),
        job("kept", 4.0, inference_id="mine"),
    )
    assert work_aws.work() == []
    assert result(work_aws, "here")["predictions"][0]["logs"] == pytest.approx([math.log(2)] * 2)
    bucket = work_aws.environ["QUINTET_PAYLOADS_BUCKET"]
    kept = work_aws.jobs.get("kept").result
    assert kept is not None and kept.place == f"s3://{bucket}/results/kept"
    assert result(work_aws, "kept")["predictions"][0]["logs"] == pytest.approx([math.log(4)] * 2)
    problems = {name: work_aws.jobs.get(name).problem or {} for name in ("empty", "gone")}
    assert {name: (p["status"], p["detail"]) for name, p in problems.items()} == {
        "empty": (400, "input: expected at least one byte, got an empty object (0 bytes)"),
        "gone": (404, "input: expected an object that can be read, got none"),
    }


def test_inputs_that_changed_after_their_job_was_accepted(work_aws: WorkAws) -> None:
    rows = json.dumps({"records": [{"x": 2.0}]}).encode()
    names = ("vanished", "emptied", "grown")
    work_aws.accept(*[job(name, request=work_aws.put(f"inputs/{name}", rows)) for name in names])
    bucket = work_aws.environ["QUINTET_PAYLOADS_BUCKET"]
    work_aws.aws.client("s3").delete_object(Bucket=bucket, Key="inputs/vanished")
    work_aws.put("inputs/emptied", b"")
    work_aws.put("inputs/grown", bytes(200_000_000))
    assert work_aws.work() == []
    problems = {name: work_aws.jobs.get(name).problem or {} for name in names}
    assert {name: (p["status"], p["detail"]) for name, p in problems.items()} == {
        "vanished": (404, "input: expected an object that can be read, got none"),
        "emptied": (400, "input: expected at least one byte, got an empty object (0 bytes)"),
        "grown": (413, "input: expected at most 20000000 bytes, got more"),
    }
    work_aws.aws.client("s3").delete_object(Bucket=bucket, Key="inputs/grown")


def test_messages_that_are_not_ours_and_jobs_that_are_not_there(work_aws: WorkAws) -> None:
    work_aws.send("who is this?")
    work_aws.send(JobEvent("nosuch", "accepted").message())
    assert work_aws.work() == []
    assert work_aws.lying(work_aws.environ["QUINTET_WORK_DEAD_LETTERS_URL"]) == ["who is this?"]
    assert work_aws.notified() == []


def test_poison_is_settled_after_its_own_attempts_and_is_a_dead_letter(work_aws: WorkAws) -> None:
    work_aws.accept(job("poison", 1.0, form="nosuch"))
    body = JobEvent("poison", "accepted").message()
    for _ in range(MAX_BROKEN - 1):
        assert work_aws.work() == [body]
        work_aws.come_back()
    assert work_aws.work() == []
    assert work_aws.lying(work_aws.environ["QUINTET_WORK_DEAD_LETTERS_URL"]) == [body]
    kept = work_aws.jobs.get("poison")
    assert (kept.state, (kept.problem or {})["status"]) == ("FAILED", 500)
    assert work_aws.notified() == [{"type": "job", "job": "poison", "event": "failed"}]


def test_a_job_that_may_do_better_comes_back_with_its_backoff(work_aws: WorkAws) -> None:
    work_aws.aws.client("s3").delete_bucket(Bucket=work_aws.environ["QUINTET_PAYLOADS_BUCKET"])
    work_aws.accept(job("a", 1.0, inference_id="i"))
    assert work_aws.work() == [JobEvent("a", "accepted").message()]
    assert work_aws.jobs.get("a").state == "ACCEPTED"
    # not after the queue's 360 s: at most two
    deadline = time.monotonic() + 10
    back: list[dict[str, Any]] = []
    while not back and time.monotonic() < deadline:
        back = work_aws.received("WORK")
    assert [message["Body"] for message in back] == [JobEvent("a", "accepted").message()]


def test_the_sweep_sends_what_was_not_sent_and_expires_what_is_late(work_aws: WorkAws) -> None:
    now = time.time()
    old = {"created": now - 7200, "updated": now - 7200}
    work_aws.accept(
        job("lost", 1.0, **old),
        job("fresh", 1.0),
        job("late", 1.0, **old | {"deadline": now - 1}),
        sent=False,
    )
    found = work_aws.handler("sweep")({}, Context())
    assert found == {"expired": 1, "buried": 0, "announced": 3, "failed": 0}
    assert work_aws.jobs.get("late").state == "EXPIRED"
    assert work_aws.notified() == [{"type": "job", "job": "late", "event": "expired"}]
    assert work_aws.work() == []  # the late one's message finds it settled
    assert [work_aws.jobs.get(name).state for name in ("lost", "fresh")] == ["DONE", "ACCEPTED"]
    assert [n.job for n in work_aws.jobs.outbox(now + 3600)] == ["fresh"]


def test_the_sweep_fails_the_jobs_of_dead_letters_and_leaves_the_letters(
    work_aws: WorkAws,
) -> None:
    now = time.time()
    old = {"created": now - 1000, "updated": now - 1000}
    names = [f"dead-{number}" for number in range(12)]
    work_aws.accept(*(job(name, 1.0, **old) for name in names), job("ok", 1.0), sent=False)
    for name in names:
        work_aws.jobs.sent(JobEvent(name, "accepted"))
    url = work_aws.environ["QUINTET_WORK_DEAD_LETTERS_URL"]
    sqs = work_aws.aws.client("sqs")
    bodies = [JobEvent(name, "accepted").message() for name in [*names, "ok"]] + ["not ours"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    sweep = work_aws.handler("sweep")
    assert sweep({}, Context()) == {"expired": 0, "buried": 12, "announced": 0, "failed": 0}
    assert {work_aws.jobs.get(name).state for name in names} == {"FAILED"}
    assert work_aws.jobs.get("ok").state == "ACCEPTED"
    sent = sorted(event["job"] for event in work_aws.notified())
    assert sent == sorted(names)
    assert sweep({}, Context())["buried"] == 0
    assert sorted(work_aws.lying(url)) == sorted(bodies)
