"""When schedules fire."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from tests.kits.local_aws import LocalAws

from quintet_local.sources.drivers import TimerDriver
from quintet_local.sources.schedule import BadSchedule, filled, parse
from quintet_local.stack import Timer


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("rate(1 minute)", "2026-11-23T10:00:30", "2026-11-23T10:01:30"),
        ("rate(2 hours)", "2026-11-23T10:00:30", "2026-11-23T12:00:30"),
        ("rate(1 day)", "2026-11-23T10:00:30", "2026-11-24T10:00:30"),
        ("at(2026-12-01T00:00:00)", "2026-11-23T10:00:00", "2026-12-01T00:00:00"),
        ("at(2026-11-01T00:00:00)", "2026-11-23T10:00:00", None),
        ("cron(0 10 * * ? *)", "2026-11-23T10:00:00", "2026-11-24T10:00:00"),
        ("cron(15 12 * * ? *)", "2026-11-23T10:00:00", "2026-11-23T12:15:00"),
        ("cron(0/15 * * * ? *)", "2026-11-23T10:01:00", "2026-11-23T10:15:00"),
        # Monday to Friday, from a Friday evening
        ("cron(0 18 ? * MON-FRI *)", "2026-11-27T18:00:00", "2026-11-30T18:00:00"),
        # the first of a month, from the end of a year
        ("cron(0 8 1 * ? *)", "2026-12-23T10:00:00", "2027-01-01T08:00:00"),
        ("cron(0 8 L * ? *)", "2027-02-01T00:00:00", "2027-02-28T08:00:00"),
        # the weekday nearest to the 15th, a Sunday
        ("cron(0 8 15W * ? *)", "2026-11-01T00:00:00", "2026-11-16T08:00:00"),
        # the second Tuesday, the last Friday
        ("cron(0 8 ? * 3#2 *)", "2026-11-01T00:00:00", "2026-11-10T08:00:00"),
        ("cron(0 8 ? * FRIL *)", "2026-11-01T00:00:00", "2026-11-27T08:00:00"),
        ("cron(0 8 29 2 ? *)", "2026-11-01T00:00:00", "2028-02-29T08:00:00"),
        ("cron(0 8 1 1 ? 2020)", "2026-11-01T00:00:00", None),
    ],
)
def test_the_next_firing(expression: str, after: str, expected: str | None) -> None:
    found = parse(expression)(moment(after))
    assert found == (moment(expected) if expected else None)


def test_a_time_zone_counts() -> None:
    fire = parse("cron(0 9 * * ? *)", ZoneInfo("Europe/Berlin"))
    assert fire(moment("2026-07-01T00:00:00")) == moment("2026-07-01T07:00:00")
    assert fire(moment("2026-12-01T00:00:00")) == moment("2026-12-01T08:00:00")


@pytest.mark.parametrize(
    "expression",
    [
        "every minute",
        "rate(0 minutes)",
        "rate(1 fortnight)",
        "at(tomorrow)",
        "cron(0 10 * * *)",
        "cron(0 10 * * * *)",
        "cron(61 10 * * ? *)",
        "cron(0 10 ? * NOBODY *)",
        "cron(0 10 x * ? *)",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(BadSchedule):
        parse(expression)


def test_a_schedule_tells_its_time_and_a_rule_does_not() -> None:
    moment_ = moment("2026-12-01T07:00:00")
    body = '{"at": "<aws.scheduler.scheduled-time>", "by": "<aws.scheduler.schedule-arn>"}'
    assert json.loads(filled(body, "arn", moment_)) == {"at": "2026-12-01T07:00:00Z", "by": "arn"}
    soon = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    sent: list[str] = []
    for name in ("arn:aws:scheduler:x:schedule/default/S", "arn:aws:events:x:rule/R"):
        timer = Timer("S", name, f"at({soon:%Y-%m-%dT%H:%M:%S})", "UTC", "target", body)
        asyncio.run(asyncio.wait_for(TimerDriver(timer, lambda _, b: sent.append(b)).run(), 10))
        soon += timedelta(seconds=2)
    assert sent[0] != body == sent[1]


@pytest.mark.parametrize("body", ['{"a": 1}', None])
def test_a_schedule_sends_its_input_or_the_scheduled_event(body: str | None) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    expression = f"at({soon:%Y-%m-%dT%H:%M:%S})"
    sent: list[tuple[str, str]] = []
    timer = Timer("Monthly", "rule-arn", expression, "UTC", "target-arn", body)
    driver = TimerDriver(timer, lambda target, text: sent.append((target, text)))
    asyncio.run(asyncio.wait_for(driver.run(), 10))
    ((target, text),) = sent
    assert target == "target-arn"
    event = json.loads(text)
    if body is not None:
        assert event == {"a": 1}
    else:
        assert (event["detail-type"], event["resources"]) == ("Scheduled Event", ["rule-arn"])
        assert event["time"] == f"{soon:%Y-%m-%dT%H:%M:%SZ}"


def schedule(stack: LocalAws, name: str, expression: str, target: str, body: str) -> None:
    stack.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        ScheduleExpressionTimezone="Europe/Berlin",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": target, "RoleArn": "arn:aws:iam::123456789012:role/any", "Input": body},
    )


def test_a_schedule_that_is_made_by_the_api_fires(stack: LocalAws) -> None:
    """As docs/batch-schedule.md makes one: `aws scheduler create-schedule`."""
    sqs = stack.client("sqs")
    url = sqs.create_queue(QueueName="scheduled")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:scheduled"
    soon = datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(seconds=3)
    body = '{"scheduled": "<aws.scheduler.scheduled-time>"}'
    for name in ("kept", "deleted"):
        schedule(stack, name, f"at({soon:%Y-%m-%dT%H:%M:%S})", arn, body)
    stack.client("scheduler").delete_schedule(Name="deleted")
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=15)["Messages"]
    assert json.loads(message["Body"]) == {
        "scheduled": f"{soon.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    }
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []) == []


@pytest.mark.parametrize(
    ("expression", "target", "told"),
    [
        ("cron(0 2 * * *)", "arn:aws:sqs:us-east-1:1:q", "Invalid Schedule Expression: cron"),
        ("rate(1 day)", "arn:aws:ecs:us-east-1:1:cluster/c", "nothing is sent to arn:aws:ecs"),
    ],
)
def test_a_schedule_that_would_never_fire_is_refused(
    stack: LocalAws, expression: str, target: str, told: str
) -> None:
    with pytest.raises(ClientError, match=told):
        schedule(stack, "never", expression, target, "{}")
