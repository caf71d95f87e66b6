"""rollout on moto: a tick of its state machine, and the messages that stop a rollout."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from tests.functions.conftest import Handler, OnlineAws, fresh_handler
from tests.kits import models
from tests.kits.evidence import paired
from tests.kits.rollouts import cause, started

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.aws.queues import StopQueue
from quintet.aws.rollouts import Rollouts
from quintet.contract import RolloutRule
from quintet.rollouts import transitions
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.stops import Stop
from quintet.rollouts.store import fields_of

RULE = RolloutRule(minutes=0.0, watch_minutes=0.0)


@dataclass
class Stage:
    """rollout's environment, with a rollout of `judged` from version 1 to 2, and its queues."""

    aws: OnlineAws
    environ: dict[str, str]
    handler: Handler
    notices_url: str

    @property
    def store(self) -> Rollouts:
        return Rollouts(AwsClient("dynamodb", environ=self.environ), "registry")

    @property
    def evidence(self) -> EvidenceObjects:
        bucket = CaptureBucket(AwsClient("s3", environ=self.environ), "captures-bucket")
        return EvidenceObjects(bucket, bucket)

    def begin(self, rollout: str) -> None:
        """Begin a rollout in shadow; one that is in progress ends."""
        if (stored := self.store.read("judged")).rollout is not None:
            assert self.store.write(transitions.roll_back(stored, cause()))
        now = time.time() - 1
        started(self.store, model="judged", id=rollout, at=now, shadow=True, steps=[1.0])

    def route(self) -> dict[str, Any]:
        found = fields_of(self.store.read("judged").route)
        return {name: value for name, value in found.items() if name != "revision"}

    def tick(self, rollout: str) -> dict[str, Any]:
        return self.handler({"model": "judged", "rollout": rollout}, None)

    def deliver(self) -> dict[str, Any]:
        """Call the function with what is in its queue, as Lambda does."""
        sqs, url = self.aws.client("sqs"), self.environ["QUINTET_ROLLOUT_QUEUE_URL"]
        asked = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"]}
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in sqs.receive_message(QueueUrl=url, **asked)["Messages"]
        ]
        answer = self.handler({"Records": records}, None)
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in failed:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=record["receiptHandle"])
        return {"failed": len(failed), "of": len(records)}

    def notices(self) -> list[str]:
        """The subjects of the notices that arrived."""
        sqs = self.aws.client("sqs")
        found = sqs.receive_message(QueueUrl=self.notices_url, MaxNumberOfMessages=10)
        for message in found.get("Messages", []):
            sqs.delete_message(QueueUrl=self.notices_url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["Subject"] for message in found.get("Messages", [])]


@pytest.fixture
def stage(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    known = online_aws.client("dynamodb").query(
        TableName="registry",
        KeyConditionExpression="model = :m",
        ExpressionAttributeValues={":m": {"S": "judged"}},
    )
    for version in () if known["Items"] else (1, 2):
        online_aws.publish(replace(models.LOG, name="judged", version=version, rollout=RULE))
    topic = online_aws.client("sns").create_topic(Name="rollouts")["TopicArn"]
    notices = online_aws.queue("rollout-notices")
    arn = "arn:aws:sqs:us-east-1:123456789012:rollout-notices"
    online_aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    environ = {
        **online_aws.environ,
        "QUINTET_CAPTURES_BUCKET": "captures-bucket",
        "QUINTET_ROLLOUT_QUEUE_URL": online_aws.queue("rollouts"),
        "QUINTET_ROLLOUT_DEAD_LETTERS_URL": online_aws.queue("rollouts-dead"),
        "QUINTET_ANSWER_TIMEOUTS": "30,60",
        "QUINTET_ALARM_TOPIC_ARN": topic,
    }
    with fresh_handler(environ, monkeypatch, "rollout") as handler:
        found = Stage(online_aws, environ, handler, notices)
        found.notices()
        yield found


def test_a_good_version_is_promoted_tick_by_tick(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.begin("good")
    assert stage.tick("good") == {"done": False, "wait": 1, "event": None}
    stage.evidence.put("judged", "good", -1, "raw/a", paired(2_000))
    capsys.readouterr()
    assert stage.tick("good") == {"done": False, "wait": 1, "event": "advanced"}
    assert stage.tick("good") == {"done": False, "wait": 1, "event": "promoted"}
    assert stage.route() == {"live": 2, "rollout": "good", "step": 1}
    assert stage.tick("good") == {"done": True, "wait": 0, "event": "finished"}
    assert stage.route() == {"live": 2}
    assert stage.notices() == ["Quintet test: judged version 2 promoted"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in lines if "rollout_changes_count" in one] == [
        "advanced",
        "promoted",
        "finished",
    ]
    assert [one["reason"] for one in lines if one.get("message") == "rollout changed"] == [
        "in shadow: every gate is ok",
        "at 100 %: every gate is ok",
        "watched for its time",
    ]
    back = stage.store.read("judged")
    assert stage.store.write(transitions.make_live(back, 1, cause()))


def test_a_bad_version_is_rolled_back(stage: Stage) -> None:
    stage.begin("bad")
    bad = paired(200, candidate_failed=np.arange(200) < 20)
    stage.evidence.put("judged", "bad", -1, "raw/a", bad)
    assert stage.tick("bad") == {"done": True, "wait": 0, "event": "rolled back"}
    assert stage.route() == {"live": 1}
    assert stage.notices() == ["Quintet test: judged version 2 rolled back"]
    last = stage.store.history("judged")[-1]
    assert last.cause.evidence["verdict"] == "bad"


def test_a_notice_that_was_not_sent_is_sent_by_the_next_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.begin("silent")
    bad = paired(200, candidate_failed=np.arange(200) < 20)
    stage.evidence.put("judged", "silent", -1, "raw/a", bad)
    gone = {
        **stage.environ,
        "QUINTET_ALARM_TOPIC_ARN": f"{stage.environ['QUINTET_ALARM_TOPIC_ARN']}-gone",
    }
    with fresh_handler(gone, monkeypatch, "rollout") as handler:
        look = replace(stage, handler=handler).tick("silent")
    assert look == {"done": False, "wait": 60, "event": "rolled back"}
    assert (stage.route(), stage.notices()) == ({"live": 1}, [])
    with fresh_handler(stage.environ, monkeypatch, "rollout") as handler:
        look = replace(stage, handler=handler).tick("silent")
    assert look == {"done": True, "wait": 0, "event": None}
    assert stage.notices() == ["Quintet test: judged version 2 rolled back"]


def test_an_alarm_rolls_back_and_another_message_is_a_dead_letter(stage: Stage) -> None:
    stage.begin("alarmed")
    sqs, url = stage.aws.client("sqs"), stage.environ["QUINTET_ROLLOUT_QUEUE_URL"]
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    detail = {"alarmName": "Errors", "state": {"value": "ALARM", "reason": "3 errors"}}
    event = {"source": "aws.cloudwatch", "time": moment, "detail": detail}
    for body in (json.dumps(event), "no json"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    assert stage.deliver() == {"failed": 0, "of": 2}
    assert stage.route() == {"live": 1}
    assert stage.store.history("judged")[-1].cause.reason == "Errors rings: 3 errors"
    dead = stage.environ["QUINTET_ROLLOUT_DEAD_LETTERS_URL"]
    (letter,) = sqs.receive_message(QueueUrl=dead)["Messages"]
    assert letter["Body"] == "no json"


def test_what_a_function_sees_of_a_model_stops_its_rollout(stage: Stage) -> None:
    stage.begin("burning")
    url = stage.environ["QUINTET_ROLLOUT_QUEUE_URL"]
    queue = StopQueue(AwsClient("sqs", environ=stage.environ), url)
    stop = Stop(at=time.time(), by="monitor", reason="it burns", model="judged")
    queue.send(replace(stop, model="other"))
    queue.send(stop)
    assert stage.deliver() == {"failed": 0, "of": 2}
    assert (stage.route(), stage.store.history("judged")[-1].cause.by) == ({"live": 1}, "monitor")


def test_a_stop_comes_again_soon_if_the_table_does_not_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.begin("unreachable")
    url = stage.environ["QUINTET_ROLLOUT_QUEUE_URL"]
    queue = StopQueue(AwsClient("sqs", environ=stage.environ), url)
    queue.send(Stop(at=time.time(), by="monitor", reason="it burns", model="judged"))
    broken = {**stage.environ, "QUINTET_REGISTRY_TABLE": "no-such-table"}
    with fresh_handler(broken, monkeypatch, "rollout") as handler:
        assert replace(stage, handler=handler).deliver() == {"failed": 1, "of": 1}
    assert "rollout" in stage.route()
