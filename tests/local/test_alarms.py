"""Alarms on the local AWS: evaluated at moments that the test chooses, and their notices arrive."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.cloudwatch.models import cloudwatch_backends
from tests.kits.aws import ROOT, client, moto_server

from quintet.rollouts.stops import Stop, stop_of
from quintet_local.alarming import Alarming
from quintet_local.alarms import alarms_of
from quintet_local.events import Events, alarm_event
from quintet_local.honoured import notices
from quintet_local.measures import Measures
from quintet_local.names import ACCOUNT, REGION
from quintet_local.plan import Plan, plan
from quintet_local.services import Services
from quintet_local.stack import describe
from quintet_local.template import load

#: a full five minutes
NOW = 1_800_000_000
TOPIC = "arn:aws:sns:us-east-1:123456789012:rings"


def alarm(metric: str, **properties: Any) -> dict[str, Any]:
    given = {
        "Namespace": "Quintet",
        "MetricName": metric,
        "Dimensions": [{"Name": "stage", "Value": "local"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": given | properties}


def planned(folder: Path, resources: Mapping[str, Any]) -> Plan:
    path = folder / "template.yaml"
    path.write_text(yaml.safe_dump({"Resources": dict(resources)}))
    return plan(load(path, {}), "http://127.0.0.1:4566")


class World:
    """The services, with a topic whose notices a queue keeps."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.errors: Counter[str] = Counter()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        sns, sqs = self.client("sns"), self.client("sqs")
        sns.create_topic(Name="rings")
        self.queue: str = sqs.create_queue(QueueName="notices")["QueueUrl"]
        queue = "arn:aws:sqs:us-east-1:123456789012:notices"
        sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=queue)

    def client(self, service: str) -> Any:
        return client(service, self.url)

    def alarming(self, of: Plan, **queues: str) -> Alarming:
        """The plan's alarms, made and not yet evaluated."""
        services = Services(self.url, int(self.url.rpartition(":")[2]))
        services.make(of, (), lambda _, made: made)
        alarms, composites, _ = alarms_of(of)
        measures = Measures(self.client, queues, (), self.errors)
        rules = describe(of, Path()).rules
        events = Events(rules, lambda arn, body: self.sent.append((arn, json.loads(body))))
        return Alarming(self.client, alarms, composites, measures, events)

    def put(self, metric: str, value: float, at: float, **dimensions: str) -> None:
        of = [{"Name": n, "Value": v} for n, v in (dimensions or {"stage": "local"}).items()]
        moment = datetime.fromtimestamp(at, UTC)
        datum = {"MetricName": metric, "Dimensions": of, "Timestamp": moment, "Value": value}
        self.client("cloudwatch").put_metric_data(Namespace="Quintet", MetricData=[datum])

    def notices(self) -> list[tuple[str, str, str]]:
        """The alarms, old and new states of the notices that arrived since the last look."""
        sqs, found = self.client("sqs"), []
        while page := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in page:
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                body = json.loads(json.loads(message["Body"])["Message"])
                found.append((body["AlarmName"], body["OldStateValue"], body["NewStateValue"]))
        return found


@pytest.fixture
def world() -> Iterator[World]:
    with moto_server() as url:
        cloudwatch_backends[ACCOUNT][REGION].reset()  # other tests' services are the same
        found = World(url)
        found.notices()
        yield found
        cloudwatch_backends[ACCOUNT][REGION].reset()


def test_an_alarm_rings_once_and_ends(world: World, tmp_path: Path) -> None:
    actions = {"AlarmActions": [TOPIC], "OKActions": [TOPIC]}
    of = planned(tmp_path, {"Failed": alarm("failed_count", Threshold=3, **actions)})
    alarming = world.alarming(of)
    name = of.identities["Failed"].ref
    alarming.evaluate(NOW)
    world.put("failed_count", 2, NOW + 10)
    world.put("failed_count", 5, NOW + 20, stage="other")
    alarming.evaluate(NOW + 60)
    assert world.notices() == [(name, "INSUFFICIENT_DATA", "OK")]
    world.put("failed_count", 2, NOW + 61)
    world.put("failed_count", 1, NOW + 119)
    alarming.evaluate(NOW + 119)  # the minute is not over
    assert alarming.states[name] == "OK"
    alarming.evaluate(NOW + 121)
    alarming.evaluate(NOW + 150)
    assert world.notices() == [(name, "OK", "ALARM")]
    seen = world.client("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert [one["AlarmName"] for one in seen] == [name]
    alarming.evaluate(NOW + 180)
    assert world.notices() == [(name, "ALARM", "OK")]


@pytest.mark.parametrize(
    ("missing", "states"),
    [
        ("notBreaching", ["OK", "ALARM", "OK"]),
        ("breaching", ["ALARM", "ALARM", "ALARM"]),
        ("missing", ["INSUFFICIENT_DATA", "ALARM", "INSUFFICIENT_DATA"]),
    ],
)
def test_a_period_without_data_counts_as_the_alarm_says(
    world: World, tmp_path: Path, missing: str, states: list[str]
) -> None:
    of = planned(tmp_path, {"Failed": alarm("failed_count", TreatMissingData=missing)})
    alarming, found = world.alarming(of), []
    world.put("failed_count", 1, NOW + 70)
    for now in (NOW + 60, NOW + 120, NOW + 180):
        alarming.evaluate(now)
        found.append(alarming.states[of.identities["Failed"].ref])
    assert found == states


def test_some_of_several_periods_are_enough(world: World, tmp_path: Path) -> None:
    some = {"EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Statistic": "Maximum"}
    of = planned(tmp_path, {"Late": alarm("age_ms", Threshold=100, **some)})
    alarming, found = world.alarming(of), []
    for minute, age in enumerate((150, 20, 150, 20, 20)):
        world.put("age_ms", age, NOW + 60 * minute + 1)
        alarming.evaluate(NOW + 60 * (minute + 1))
        found.append(alarming.states[of.identities["Late"].ref])
    assert found == ["OK", "OK", "ALARM", "OK", "OK"]


def test_metric_math_adds_and_a_composite_alarm_acts_for_its_parts(
    world: World, tmp_path: Path
) -> None:
    def stat(name: str) -> dict[str, Any]:
        metric = {"Namespace": "Quintet", "MetricName": name}
        metric["Dimensions"] = [{"Name": "stage", "Value": "local"}]  # type: ignore[assignment]
        return {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"},
        }

    both = alarm("", Threshold=3)
    for name in ("Namespace", "MetricName", "Dimensions", "Statistic", "Period"):
        del both["Properties"][name]
    expression = {"Id": "all", "Expression": "SUM(METRICS())"}
    both["Properties"]["Metrics"] = [expression, stat("a_count"), stat("b_count")]
    rule = {"Fn::Sub": 'ALARM("${Both}") OR ALARM("${Failed}")'}
    page = {"Type": "AWS::CloudWatch::CompositeAlarm"}
    page["Properties"] = {"AlarmRule": rule, "AlarmActions": [TOPIC]}  # type: ignore[assignment]
    of = planned(tmp_path, {"Both": both, "Failed": alarm("failed_count"), "Page": page})
    alarming = world.alarming(of)
    world.put("a_count", 2, NOW + 1)
    world.put("b_count", 1, NOW + 2)
    world.put("failed_count", 1, NOW + 62)  # the second begins as the first ends
    for now in (NOW + 60, NOW + 120, NOW + 180):
        alarming.evaluate(now)
    assert world.notices() == [(of.identities["Page"].ref, "INSUFFICIENT_DATA", "ALARM")]
    assert set(alarming.states.values()) == {"OK"}


def test_failed_calls_and_waiting_messages_are_measured(world: World, tmp_path: Path) -> None:
    def of_aws(space: str, metric: str, name: str, value: str) -> dict[str, Any]:
        dimensions = [{"Name": name, "Value": value}]
        return alarm(metric, Namespace=space, Dimensions=dimensions, Statistic="Maximum")

    depth, age = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
    resources = {
        "Errors": of_aws("AWS/Lambda", "Errors", "FunctionName", "predict"),
        "Letters": of_aws("AWS/SQS", depth, "QueueName", "letters"),
        "Age": of_aws("AWS/SQS", age, "QueueName", "letters"),
        "Others": of_aws("AWS/SQS", depth, "QueueName", "others"),
    }
    of = planned(tmp_path, resources)
    sqs = world.client("sqs")
    urls = {q: sqs.create_queue(QueueName=q)["QueueUrl"] for q in ("letters", "others")}
    alarming = world.alarming(of, **urls)
    sqs.send_message(QueueUrl=urls["letters"], MessageBody="m")
    world.errors["predict"] += 2
    now = float(2 * NOW)  # long after the message was sent
    alarming.evaluate(now)
    states = {name: alarming.states[of.identities[name].ref] for name in resources}
    assert states == {"Errors": "ALARM", "Letters": "ALARM", "Age": "ALARM", "Others": "OK"}
    assert world.errors == {}


def rule(pattern: dict[str, Any], **target: Any) -> dict[str, Any]:
    queue = "arn:aws:sqs:us-east-1:123456789012:rollouts"
    targets = [{"Arn": queue, "Id": "queue", **target}]
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {"EventPattern": pattern, "Targets": targets},
    }


CHANGES = {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]}


def test_an_alarms_change_is_an_event_that_rules_pick(world: World, tmp_path: Path) -> None:
    name = {"Fn::Select": [0, [{"Ref": "Failed"}]]}
    rings = {"alarmName": [name], "state": {"value": ["ALARM"]}}
    resources = {
        "Failed": alarm("failed_count", AlarmDescription="it fails", ActionsEnabled=False),
        "Rings": rule({**CHANGES, "detail": rings}),
        "Others": rule({**CHANGES, "detail": {"alarmName": ["other"]}}),
        "Off": rule(CHANGES),
        "Said": rule({"detail": {"state": {"value": [{"prefix": "AL"}]}}}, Input='{"rings": 1}'),
    }
    resources["Off"]["Properties"]["State"] = "DISABLED"
    of = planned(tmp_path, resources)
    alarming = world.alarming(of)
    alarming.evaluate(NOW)
    world.put("failed_count", 1, NOW + 10)
    alarming.evaluate(NOW + 60)
    alarming.evaluate(NOW + 120)
    alarming.evaluate(NOW + 180)
    (arn, event), said = world.sent
    ref = of.identities["Failed"].ref
    assert said == (arn, {"rings": 1})
    assert arn == "arn:aws:sqs:us-east-1:123456789012:rollouts"
    assert event.pop("id")
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    assert event == {
        "version": "0",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "123456789012",
        "time": "2027-01-15T08:01:00Z",
        "region": "us-east-1",
        "resources": [of.identities["Failed"].attributes["Arn"]],
        "detail": {
            "alarmName": ref,
            "configuration": {
                "description": "it fails",
                "metrics": [
                    {
                        "id": "m1",
                        "returnData": True,
                        "metricStat": {
                            "metric": {
                                "namespace": "Quintet",
                                "name": "failed_count",
                                "dimensions": {"stage": "local"},
                            },
                            "period": 60,
                            "stat": "Sum",
                        },
                    }
                ],
            },
            "previousState": {"value": "OK", "reason": f"{ref} went from INSUFFICIENT_DATA to OK"},
            "state": {
                "value": "ALARM",
                "reason": f"{ref} went from OK to ALARM",
                "timestamp": "2027-01-15T08:01:00.000+0000",
            },
        },
    }


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ({"source": ["aws.s3"]}, "only changes of alarms' states are events here"),
        ({"detail-type": ["Object Created"]}, "only changes of alarms' states are events here"),
        ({"detail": {"a": [{"fuzzy": "b"}]}}, "the operator fuzzy is not read here"),
        ({"$or": [{"source": [{"fuzzy": "b"}]}]}, "the operator fuzzy is not read here"),
        ({"source": "aws.cloudwatch"}, "source is neither a list nor an object"),
    ],
)
def test_a_rule_that_is_not_honoured_is_reported(
    tmp_path: Path, pattern: dict[str, Any], reason: str
) -> None:
    of = planned(tmp_path, {"Rule": rule(pattern)})
    assert [str(one) for one in notices(of)] == [
        f"Rule.EventPattern: {reason}; no event is matched"
    ]
    assert describe(of, tmp_path).rules == ()


def test_what_a_rule_asks_of_its_target_is_reported(tmp_path: Path) -> None:
    stream = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
    of = planned(tmp_path, {"Rule": rule(CHANGES, Arn=stream, InputPath="$.detail")})
    assert [str(one) for one in notices(of)] == [
        "Rule.Targets.Arn: nothing is sent to kinesis here",
        "Rule.Targets.InputPath: not honoured here",
    ]


NOT_READ: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a percentile": (
        lambda p: p.update(Statistic=None, ExtendedStatistic="p95"),
        "not evaluated: the statistic p95",
    ),
    "a metric that nobody writes": (
        lambda p: p.update(Namespace="AWS/Logs", MetricName="DeliveryErrors"),
        "not evaluated: AWS/Logs has no DeliveryErrors here",
    ),
    "an anomaly": (
        lambda p: p.update(ComparisonOperator="GreaterThanUpperThreshold"),
        "not evaluated: ComparisonOperator GreaterThanUpperThreshold",
    ),
    "ignored gaps": (
        lambda p: p.update(TreatMissingData="ignore"),
        "not evaluated: TreatMissingData ignore",
    ),
    "other metric math": (
        lambda p: p.update(Metrics=[{"Id": "e", "Expression": "RATE(m1)"}]),
        "not evaluated: the expression RATE(m1)",
    ),
    "another action": (
        lambda p: p.update(AlarmActions=["arn:aws:automate:us-east-1:ec2:stop"]),
        "not evaluated: its action arn:aws:automate:us-east-1:ec2:stop",
    ),
}


@pytest.mark.parametrize("what", NOT_READ)
def test_an_alarm_that_is_not_evaluated_is_reported(tmp_path: Path, what: str) -> None:
    change, reason = NOT_READ[what]
    one = alarm("failed_count")
    change(one["Properties"])
    one["Properties"] = {n: v for n, v in one["Properties"].items() if v is not None}
    assert f"Failed: {reason}" in [str(n) for n in notices(planned(tmp_path, {"Failed": one}))]


def test_all_alarms_of_the_template_are_evaluated_but_for_those_of_log_deliveries() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    of = plan(load(ROOT / "template.yaml", {"AlarmTopicArn": topic}), "http://127.0.0.1:4566")
    assert alarms_of(of)[2] == {
        "CaptureDeliveryAlarm": "not evaluated: AWS/Logs has no DeliveryErrors here"
    }


def test_the_alarms_that_stop_rollouts_reach_their_queue(tmp_path: Path) -> None:
    of = plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566")
    sent: list[tuple[str, str]] = []
    events = Events(describe(of, tmp_path).rules, lambda arn, body: sent.append((arn, body)))
    for one in alarms_of(of)[0]:
        events.put(alarm_event(one, ("OK", "why"), ("ALARM", "why"), NOW))
        events.put(alarm_event(one, ("ALARM", "why"), ("OK", "why"), NOW))
    queue = of.identities["RolloutQueue"].attributes["Arn"]
    names = ("PredictErrors", "StreamAge", "StreamFailures", "WorkDeadLetters", "WorkQueueAge")
    rings = [of.identities[f"{name}Alarm"].ref for name in names]
    stops = sorted(((arn, stop_of(body)) for arn, body in sent), key=str)
    assert stops == [
        (queue, Stop(at=NOW, by="alarm", reason=f"{name} rings: why")) for name in sorted(rings)
    ]
