"""`quintet dlq` against moto: nothing is lost, what is sent is sent once and recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.kits.alerts import alert
from tests.kits.aws import moto_server
from typer.testing import CliRunner, Result

from quintet.replay.aws.catalog import catalog_of, dead_letters
from quintet.replay.aws.messages import SqsMessages
from quintet.replay.dead_letters import DeadLetter, DeadLetterSource, Message
from quintet.replay.items import Pace, ReplayDepth, ReplayError, ReplaySource, matching
from quintet.replay.jobs import KnownJob, NoJobs, ReplayJobs
from quintet.webhooks.events import WebhookMessage
from quintet_cli.app import app
from quintet_cli.stage import Stage

BUCKET = "scores-bucket"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:batch"
AT_ONCE = Pace(None)


class SomeJobs:
    """Jobs in memory; those that `failed` are reopened."""

    def __init__(self, models: dict[str, str], failed: set[str]) -> None:
        self.models = models
        self.failed = failed
        self.reopened: list[str] = []

    def find(self, job: str) -> KnownJob | None:
        model = self.models.get(job)
        return KnownJob(model, "FAILED" if job in self.failed else "DONE") if model else None

    def reopen(self, job: str) -> bool:
        if job not in self.failed:
            return False
        self.failed.remove(job)
        self.reopened.append(job)
        return True


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def stage(endpoint: str) -> Iterator[Stage]:
    """A stage with two queues, their dead-letter queues and a bucket; emptied afterwards."""
    bare = Stage("local", "", {}, endpoint)
    sqs, s3 = bare.client("sqs"), bare.client("s3")
    outputs = {"ApiUrl": "", "ScoresBucketName": BUCKET, "BatchScoringArn": MACHINE}
    for name in ("Drop", "Work"):
        url = sqs.create_queue(QueueName=f"{name}DeadLetters")["QueueUrl"]
        outputs[f"{name}DeadLettersUrl"] = url
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        policy = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": 5,
        }
        sqs.create_queue(QueueName=f"{name}Queue", Attributes={"RedrivePolicy": json.dumps(policy)})
    s3.create_bucket(Bucket=BUCKET)
    yield Stage("local", "", outputs, endpoint)
    for url in sqs.list_queues()["QueueUrls"]:
        sqs.delete_queue(QueueUrl=url)
    for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=found["Key"])


def sqs_of(queue: DeadLetterSource) -> SqsMessages:
    assert isinstance(queue.messages, SqsMessages)
    return queue.messages


def put(queue: DeadLetterSource, *bodies: Any) -> None:
    for body in bodies:
        text = body if isinstance(body, str) else json.dumps(body)
        sqs_of(queue).sqs.send_message(QueueUrl=sqs_of(queue).url, MessageBody=text)


def drain(stage: Stage, url: str) -> list[dict[str, Any]]:
    """Every message of a queue, taken out."""
    sqs, found = stage.client("sqs"), []
    while got := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        found += got
        for message in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def bodies(messages: list[dict[str, Any]]) -> list[Any]:
    return sorted(message["Body"] for message in messages)


def notice(key: str) -> dict[str, Any]:
    entity = {"bucket": {"name": "inbox"}, "object": {"key": key, "sequencer": "1"}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": entity}]}


def work(job: str) -> dict[str, str]:
    return {"job": job, "event": "accepted"}


def queue_of(stage: Stage, name: str = "work", jobs: ReplayJobs | None = None) -> DeadLetterSource:
    """A queue of the stage, about these jobs."""
    found = {queue.name: queue for queue in dead_letters(stage.outputs, stage.client, stage.signed)}
    return replace(found[f"{name.title()}DeadLetters"], jobs=jobs or NoJobs())


def source_named(stage: Stage, name: str) -> ReplaySource:
    return catalog_of(stage.name, stage.outputs, stage.client, stage.signed).named(name)


def test_the_queues_are_those_of_the_outputs(stage: Stage) -> None:
    assert [
        (q.name, q.destination) for q in dead_letters(stage.outputs, stage.client, stage.signed)
    ] == [
        ("DropDeadLetters", "DropQueue"),
        ("WorkDeadLetters", "WorkQueue"),
    ]


@pytest.mark.parametrize("name", ["WorkDeadLetters", "work", "Work"])
def test_a_queue_is_found_by_its_name(stage: Stage, name: str) -> None:
    assert source_named(stage, name).name == "WorkDeadLetters"


def test_an_unknown_queue_is_refused_with_the_known_ones(stage: Stage) -> None:
    with pytest.raises(ReplayError, match=r"queues: DropDeadLetters, WorkDeadLetters$"):
        source_named(stage, "other")


def test_a_queue_without_a_source_is_refused(stage: Stage) -> None:
    sqs = stage.client("sqs")
    url = sqs.create_queue(QueueName="LoneDeadLetters")["QueueUrl"]
    with pytest.raises(ReplayError, match="LoneDeadLetters: 0 queues"):
        _ = DeadLetterSource("LoneDeadLetters", SqsMessages(url, sqs)).destination


def letter(body: Any, jobs: ReplayJobs) -> DeadLetter:
    text = body if isinstance(body, str) else json.dumps(body)
    return DeadLetter(Message("id", text, {}, 0.0, "handle"), jobs)


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ([], True),
        (["job=a1"], True),
        (["job=a"], False),
        (["model=tickets"], True),
        (["model=ticket"], False),
        (["accepted"], True),
        (["job=a1", "model=churn"], False),
        (["job=a1", "model=tickets", '"a1"'], True),
        (["other=1"], False),
    ],
)
def test_filters_must_all_fit(filters: list[str], fits: bool) -> None:
    jobs = SomeJobs({"a1": "tickets"}, set())
    assert matching(filters)(letter(work("a1"), jobs)) is fits


def run_end() -> str:
    """A message of the end of a run of churn."""
    told = {"model": "churn", "status": "failed", "cause": "", "finished": "2026-11-20T08:00:00Z"}
    return json.dumps({"type": "run", "endpoint": "pager", "execution": "churn-a", "run": told})


@pytest.mark.parametrize(
    ("body", "job", "model"),
    [
        (notice("churn/a+b.csv"), None, "churn"),
        ({"Event": "s3:TestEvent"}, None, None),
        ({"type": "job", "job": "gone", "event": "failed"}, "gone", None),
        ({"job": 7}, None, None),
        (WebhookMessage(alert(), "pager").message(), None, "room"),
        ('{"type": "alert", "alert": {}, "endpoint": "pager"}', None, None),
        (run_end(), None, "churn"),
        ('{"type": "run", "run": {}, "endpoint": "pager"}', None, None),
        ("[1]", None, None),
        ("not json", None, None),
        ("", None, None),
    ],
)
def test_what_a_message_is_about(body: Any, job: str | None, model: str | None) -> None:
    found = letter(body, NoJobs())
    assert (found.job, found.model) == (job, model)


def test_replay_sends_what_fits_and_leaves_the_rest_in_sight(stage: Stage) -> None:
    jobs = SomeJobs({f"j{n}": "tickets" if n % 2 else "churn" for n in range(25)}, {"j1", "j3"})
    queue = queue_of(stage, jobs=jobs)
    put(queue, *(work(f"j{n}") for n in range(25)), "not ours")
    done = [*queue.send_back(matching(["model=tickets"]), "r1", AT_ONCE)]
    sent = {outcome.record["job"]: outcome.record["reopened"] for outcome in done if outcome.sent}
    assert sent == {f"j{n}": n in (1, 3) for n in range(1, 25, 2)}
    assert sorted(jobs.reopened) == ["j1", "j3"]
    arrived = drain(stage, sqs_of(queue).source_url)
    assert bodies(arrived) == sorted(json.dumps(work(job)) for job in sent)
    assert {m["MessageAttributes"]["quintet-replay"]["StringValue"] for m in arrived} == {"r1"}
    left = [json.dumps(work(f"j{n}")) for n in range(0, 25, 2)]
    assert bodies(drain(stage, sqs_of(queue).url)) == sorted([*left, "not ours"])


def test_an_answer_that_is_told_again_does_not_reopen_its_job(stage: Stage) -> None:
    jobs = SomeJobs({"a": "churn"}, {"a"})
    queue = queue_of(stage, jobs=jobs)
    put(queue, {"type": "job", "job": "a", "event": "failed"})
    (done,) = queue.send_back(matching([]), "r1", AT_ONCE)
    assert (done.sent, done.reopened, jobs.reopened) == (1, 0, [])


def test_a_message_that_fails_again_at_once_is_not_replayed_twice(stage: Stage) -> None:
    queue = queue_of(stage)
    put(queue, {"job": "a"})

    def fails_again() -> None:
        for message in drain(stage, sqs_of(queue).source_url):
            sent = message["MessageAttributes"]["quintet-replay"]
            mark = {"quintet-replay": {k: sent[k] for k in ("DataType", "StringValue")}}
            sqs_of(queue).sqs.send_message(
                QueueUrl=sqs_of(queue).url, MessageBody=message["Body"], MessageAttributes=mark
            )

    outcomes = []
    for done in queue.send_back(matching([]), "r1", AT_ONCE):
        outcomes.append((done.sent, done.left))
        fails_again()
    assert outcomes == [(1, 0), (0, 1)]
    assert bodies(drain(stage, sqs_of(queue).url)) == ['{"job": "a"}']


class _DeletingFails:
    """SQS, of which no message can be deleted."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    def delete_message(self, **given: Any) -> Any:
        raise ConnectionError("the network is gone")


def test_a_replay_that_breaks_off_loses_nothing(stage: Stage) -> None:
    queue = queue_of(stage)
    put(queue, *({"job": f"j{n}"} for n in range(7)))
    sqs = _DeletingFails(sqs_of(queue).sqs)
    broken = replace(queue, messages=SqsMessages(sqs_of(queue).url, sqs))
    with pytest.raises(ConnectionError):
        [*broken.send_back(matching([]), "r1", AT_ONCE)]
    # the first was sent, and lies here as well: a second delivery, as SQS itself may make one
    sent, left = drain(stage, sqs_of(queue).source_url), drain(stage, sqs_of(queue).url)
    assert bodies(sent) == ['{"job": "j0"}']
    assert bodies(left) == sorted(json.dumps({"job": f"j{n}"}) for n in range(7))


def test_the_pace_is_kept_and_not_caught_up() -> None:
    now, waits = [100.0], []

    def sleep(seconds: float) -> None:
        waits.append(round(seconds, 6))
        now[0] += seconds

    pace = Pace(10, lambda: now[0], sleep)
    for _ in range(3):
        pace.wait()
    now[0] += 60
    pace.wait()
    pace.wait(30)
    pace.wait()
    assert waits == [0.1, 0.1, 0.1, 3.0]


@pytest.fixture
def run(stage: Stage, tmp_path: Path) -> Any:
    """The command, on the stage."""
    told = {"api_url": "", "outputs": stage.outputs, "endpoint_url": stage.endpoint_url}
    (tmp_path / "local.json").write_text(json.dumps(told))

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(
            app, ["dlq", *arguments, "--state", str(tmp_path)], env={"COLUMNS": "200"}
        )
        assert result.exit_code == 0, result.output
        return result

    return run


def records(stage: Stage) -> dict[str, Any]:
    """The audit records, by key."""
    s3 = stage.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    keys = [entry["Key"] for entry in found]
    return {k: json.loads(s3.get_object(Bucket=BUCKET, Key=k)["Body"].read()) for k in keys}


def test_ls_counts_what_lies_in_each_queue(stage: Stage, run: Any) -> None:
    put(queue_of(stage, "drop"), "a", "b")
    lines = [line.split() for line in run("ls").output.splitlines()]
    assert lines[1:] == [
        ["DropDeadLetters", "2", "messages", "DropQueue"],
        ["WorkDeadLetters", "0", "messages", "WorkQueue"],
    ]


def test_show_prints_what_fits_and_takes_nothing(stage: Stage, run: Any) -> None:
    queue = queue_of(stage, "drop")
    put(queue, notice("churn/[red]a.csv"), notice("fraud/b.csv"), "x")
    shown = run("show", "drop", "--filter", "model=churn").output
    assert json.dumps(notice("churn/[red]a.csv")) in shown
    assert "fraud" not in shown
    assert len(run("show", "drop", "--limit", "2").output.splitlines()) == 4
    assert "nothing in DropDeadLetters fits" in run("show", "drop", "--filter", "nowhere").output
    assert queue.depth() == ReplayDepth(3)


def test_a_dry_run_says_what_would_go_and_changes_nothing(stage: Stage, run: Any) -> None:
    queue = queue_of(stage, "drop")
    put(queue, notice("churn/a.csv"), notice("fraud/b.csv"))
    output = run("replay", "drop", "--filter", "model=churn", "--dry-run").output
    assert "1 of 2 messages would go to DropQueue" in output
    assert (queue.depth(), records(stage)) == (ReplayDepth(2), {})
    assert drain(stage, sqs_of(queue).source_url) == []


def test_a_replay_leaves_a_record_of_who_sent_what(stage: Stage, run: Any) -> None:
    queue = queue_of(stage)
    put(queue, work("a"), work("b"), "not ours")
    output = run("replay", "work", "--filter", '"job"', "--rate", "1000").output
    assert "2 sent to WorkQueue, 1 left in WorkDeadLetters" in output
    arrived = {
        m["MessageId"]: json.loads(m["Body"])["job"] for m in drain(stage, sqs_of(queue).source_url)
    }
    ((key, record),) = records(stage).items()
    assert re.fullmatch(r"audit/dlq/\d{8}T\d{6}Z-[0-9a-f]{12}\.json", key)
    assert f"record: s3://{BUCKET}/{key}" in output
    assert set(record["who"]) == {"arn", "user"}
    asked = {"status": "done", "filters": ['"job"'], "again": False, "rate": 1000.0}
    assert {name: record[name] for name in asked} == asked
    assert {m["sent_as"]: m["job"] for m in record["sent"]} == arrived
    assert [m["reopened"] for m in record["sent"]] == [False, False]
