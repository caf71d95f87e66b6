"""Alerts over moto's services: to a topic's subscribers, and through `notify` to an endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.functions.test_notify import (
    FAILED,
    SETTLED,
    Aws,
    Handler,
    event,
    handler,
    lines,
    written,
)
from tests.kits.alerts import alert, found_in, stream_table
from tests.kits.aws import client, environ, moto_server

from quintet.aws.alerts import AlertTable, AlertTopic, AlertWebhooks
from quintet.aws.client import AwsClient
from quintet.aws.deliveries import EventDeliveries
from quintet.errors import Transient
from quintet.streaming.alert import content
from quintet.streaming.alerts import AlertCounts, AlertNotifier, LastAlert
from quintet.webhooks.delivery import Delivery
from quintet.webhooks.events import WebhookMessage, alert_webhook_id
from quintet_cli.receiver import Receiver, receiving

__all__ = ["handler"]  # the fixture of notify's handler

FILTER = {"model": ["room"], "entity": [{"prefix": "s"}]}
POSTED = alert(at=0.125)  # what events/notify_alert.json holds


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


class World:
    """The stream's table, a topic with a subscriber for room's alerts, and the queue of notices."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.table = stream_table(url)
        self.state = AlertTable(self.lean("dynamodb"), self.table)
        self.sqs, sns = client("sqs", url), client("sns", url)
        self.notices = self._queue("notices")
        self.inbox = self._queue("inbox")
        self.topic = sns.create_topic(Name=f"alerts-{self.table}")["TopicArn"]
        sns.subscribe(
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=f"arn:aws:sqs:us-east-1:123456789012:inbox-{self.table}",
            Attributes={
                "FilterPolicy": json.dumps({"model": ["room"], "entity": [{"prefix": "s"}]})
            },
        )

    def lean(self, service: str) -> AwsClient:
        """A client as the functions have it."""
        return AwsClient(service, environ=environ(self.url), sleep=lambda seconds: None)

    def notifier(self, topic: str | None = None) -> AlertNotifier:
        """A notifier that tells both ways."""
        webhooks = AlertWebhooks(self.lean("sqs"), self.notices, "ops")
        return AlertNotifier(
            self.state, [AlertTopic(self.lean("sns"), topic or self.topic), webhooks], threads=4
        )

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """What lies in a queue, read as JSON."""
        found = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]

    def _queue(self, name: str) -> str:
        url: str = self.sqs.create_queue(QueueName=f"{name}-{self.table}")["QueueUrl"]
        return url


@pytest.fixture
def world(url: str) -> World:
    return World(url)


# ---- raising -------------------------------------------------------------------------------------


def test_subscribers_get_the_alerts_that_they_filter_for(world: World) -> None:
    rows = [(n, entity, 8.2, 0.0) for n, entity in enumerate(("s1", "s2", "t1", "s1"))]
    assert world.notifier().raise_all(found_in(rows)) == AlertCounts(raised=3, suppressed=1)
    told = sorted(world.messages(world.inbox), key=lambda message: str(message["Message"]))
    assert [message["Subject"] for message in told] == ["Alert: room, s1", "Alert: room, s2"]
    assert [json.loads(message["Message"]) for message in told] == [
        {"type": "alert", **content(alert(0, "s1"))},
        {"type": "alert", **content(alert(1, "s2"))},
    ]
    assert [message["MessageAttributes"] for message in told] == [
        {"model": {"Type": "String", "Value": "room"}, "entity": {"Type": "String", "Value": name}}
        for name in ("s1", "s2")
    ]
    called = sorted(world.messages(world.notices), key=lambda m: str(m["alert"]["entity"]))
    assert called == [
        {"type": "alert", "alert": content(alert(n, name)), "endpoint": "ops"}
        for n, name in enumerate(("s1", "s2", "t1"))
    ]


def test_the_item_of_an_alert(world: World) -> None:
    world.notifier().raise_all(found_in([(1, "s1", 8.2, 0.125)]))
    key = {"key": {"S": "alert#room#s1"}, "part": {"S": "-"}}
    item = client("dynamodb", world.url).get_item(TableName=world.table, Key=key)["Item"]
    assert json.loads(item.pop("alert")["S"]) == content(alert(at=0.125))
    assert item == {
        **key,
        "id": {"S": alert().id},
        "at": {"N": "1800000000.125"},
        "sent": {"BOOL": True},
        "expires": {"N": str(1_800_000_300 + 7 * 86_400)},
    }


def test_a_topic_that_does_not_answer_leaves_the_alert_to_the_retry(world: World) -> None:
    rows = [(1, "s1", 8.2, 0.0)]
    for _ in range(2):
        with pytest.raises(Transient, match=r"^sns answered 404 to an alert$"):
            world.notifier(f"{world.topic}-none").raise_all(found_in(rows))
    assert world.state.last("room", "s1") == LastAlert(alert(), sent=False)
    assert world.notifier().raise_all(found_in(rows)) == AlertCounts(resent=1)
    assert len(world.messages(world.inbox)) == len(world.messages(world.notices)) == 1


def test_whatever_an_entity_is_called_it_is_told_of(world: World) -> None:
    names = ("Zür ich", "a\nb\x01", "\ufffe", "x" * 5_000, '"', "ü" * 300)
    rows = [(n, name, 8.2, 0.0) for n, name in enumerate(names)]
    assert world.notifier().raise_all(found_in(rows)) == AlertCounts(raised=len(names))
    assert len(world.messages(world.notices)) == len(names)


# ---- webhooks ------------------------------------------------------------------------------------


@pytest.fixture
def aws(url: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    made = Aws(url)
    made.environ["QUINTET_STREAM_TABLE"] = stream_table(url)
    return made


def deliveries(aws: Aws) -> EventDeliveries:
    """The record of deliveries."""
    dynamodb = AwsClient("dynamodb", environ=aws.server.environ)
    return EventDeliveries(dynamodb, aws.environ["QUINTET_STREAM_TABLE"])


def test_an_alert_is_posted_once_its_record_says_so(
    aws: Aws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = Receiver()
    with receiving(receiver) as url:
        receiver.secrets = [aws.register(f"{url}/hook?token=canary", "ops").secrets[0].text]
        assert handler(event("notify_alert"), None) == SETTLED
        assert handler(event("notify_alert"), None) == SETTLED  # SQS delivers it twice
    (received,) = receiver.received
    assert (received.id, received.verified) == (alert_webhook_id(POSTED), True)
    assert received.content == {
        "type": "alert.raised",
        "timestamp": "2027-01-15T08:00:00.125000Z",
        "data": content(POSTED),
    }
    delivery = deliveries(aws).get(POSTED.id, "webhook")
    assert delivery == Delivery(
        "delivered", 1, "204", started=delivery.started, delivered=delivery.delivered
    )
    printed = capsys.readouterr().out
    assert "canary" not in printed
    (line,), (counted,) = written(printed)
    assert counted["units"] == {
        "callbacks_delivered_count": "Count",
        "callback_age_seconds": "Seconds",
    }
    told = {
        "level": "INFO",
        "message": "announced",
        "alert": POSTED.id,
        "model": "room",
        "channel": "webhook",
        "endpoint": "ops",
        "state": "delivered",
        "attempts": 1,
        "last": "204",
    }
    assert {**line, **told} == line


def test_a_webhook_that_is_not_answered_comes_back_under_its_id(aws: Aws, handler: Handler) -> None:
    statuses = iter([503, 200])
    receiver = Receiver(answer=lambda received: next(statuses))
    with receiving(receiver) as url:
        aws.register(url, "ops")
        found = aws.received("notify_alert")
        assert handler(found, None) == FAILED
        assert handler(found, None) == FAILED  # too early: nothing is sent
        waiting = deliveries(aws).get(POSTED.id, "webhook")
        assert (waiting.state, waiting.attempts, waiting.last) == ("waiting", 1, "503")
        deliveries(aws).put(POSTED.id, "webhook", replace(waiting, next=0.0))  # later
        assert handler(found, None) == SETTLED
    assert [received.id for received in receiver.received] == [alert_webhook_id(POSTED)] * 2
    assert len({received.body for received in receiver.received}) == 1


def test_an_endpoint_that_is_not_registered_stops_the_webhook(aws: Aws, handler: Handler) -> None:
    assert handler(event("notify_alert"), None) == SETTLED
    delivery = deliveries(aws).get(POSTED.id, "webhook")
    assert (delivery.state, delivery.last) == ("stopped", "no such endpoint")


def test_a_broken_webhook_is_a_dead_letter(
    aws: Aws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = aws.received("notify_alert")
    broken["Records"][0]["body"] = '{"alert": {}, "endpoint": "ops"}'
    assert handler(broken, None) == SETTLED
    assert aws.dead_letters() == [broken["Records"][0]["body"]]
    reason = "message: expected an alert and an endpoint, got something else"
    assert lines(capsys) == [{"level": "WARNING", "message": "dead letter", "reason": reason}]


def test_a_delivered_webhook_stays_so(aws: Aws) -> None:
    records = deliveries(aws)
    delivered = Delivery("delivered", 1, "204", started=1.0, delivered=2.0)
    records.put("a/b/1/0", "webhook", Delivery("waiting", 1, "500", started=1.0, next=5.5))
    assert records.get("a/b/1/0", "webhook").next == 5.5
    records.put("a/b/1/0", "webhook", delivered)
    records.put("a/b/1/0", "webhook", Delivery("waiting", 2, "500", started=1.0, next=9.0))
    assert records.get("a/b/1/0", "webhook") == delivered
    assert records.get("a/b/2/0", "webhook") == Delivery()


def test_the_sample_event_holds_a_webhook_as_it_is_sent() -> None:
    (record,) = event("notify_alert")["Records"]
    assert record["body"] == WebhookMessage(POSTED, "ops").message()
