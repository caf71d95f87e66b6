"""monitor over moto's services: counts in CloudWatch to burns, metrics, a notice, and budgets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.cloudwatch.models import CloudWatchBackend
from rich.console import Console
from tests.functions.conftest import OnlineAws
from tests.kits import models
from tests.kits.aws import forget_built
from tests.kits.models import NOW
from tests.kits.rollouts import cause, started

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.rollouts import transitions
from quintet.rollouts.stops import Stop, stop_of
from quintet.wiring import monitor
from quintet_cli.budgets import budgets_of
from quintet_cli.stage import Stage
from quintet_cli.views.slo import burning_lines, died_line, slo_table
from quintet_local.metrics import by_points

STEP = 300
END = NOW // STEP * STEP


@dataclass
class Watch:
    """monitor's environment, its topic's queue, and a stage over the same services."""

    aws: OnlineAws
    queue: str
    stage: Stage

    def stops(self) -> list[Stop | None]:
        """The stops of rollouts that were sent."""
        sqs, url = self.aws.client("sqs"), self.aws.queue("stops")
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [stop_of(message["Body"]) for message in found.get("Messages", [])]

    def put(
        self, model: str, ago: int, end: float = END, route: str = "live", **counts: float
    ) -> None:
        """Write predict's counts of a moment `ago` seconds before a step's `end`."""
        of = {"stage": "test", "model": model, "route": route, "service": "predict"}
        dimensions = [{"Name": name, "Value": value} for name, value in of.items()]
        at = datetime.fromtimestamp(end - ago, UTC)
        data = [
            {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value}
            for name, value in counts.items()
        ]
        self.aws.client("cloudwatch").put_metric_data(Namespace="Quintet", MetricData=data)

    def notices(self) -> list[dict[str, Any]]:
        """The notices that arrived."""
        sqs = self.aws.client("sqs")
        found = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]


@pytest.fixture
def watch(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    for name, method in by_points(CloudWatchBackend).items():
        monkeypatch.setattr(CloudWatchBackend, name, method)
    topic = online_aws.client("sns").create_topic(Name="alarms")["TopicArn"]
    queue = online_aws.queue("alarms")
    arn = f"arn:aws:sqs:us-east-1:123456789012:{queue.rpartition('/')[2]}"
    online_aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    settings = {
        "QUINTET_ALARM_TOPIC_ARN": topic,
        "QUINTET_ROLLOUT_QUEUE_URL": online_aws.queue("stops"),
        "POWERTOOLS_SERVICE_NAME": "monitor",
    }
    for name, value in {**online_aws.environ, **settings}.items():
        monkeypatch.setenv(name, value)
    forget_built("monitor")
    outputs = {
        "RegistryTableName": "registry",
        "RegistryBucketName": "registry-bucket",
        "PredictName": "predict",
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    yield Watch(online_aws, queue, Stage("test", online_aws.url, outputs, online_aws.url))
    forget_built("monitor")


def test_counts_become_burns_a_notice_and_budgets(
    watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch.put("log", 30, requests_count=150, failed_requests_count=10, slow_requests_count=7)
    watch.put("log", 30, route="canary", requests_count=50, failed_requests_count=50)
    watch.put("log", 30, route="shadow", requests_count=900, failed_requests_count=900)
    watch.put("log", 7200, requests_count=300, refused_requests_count=100)
    watch.put("log", 200_000, requests_count=500)
    watch.put("log", 400_000, requests_count=1000)  # older than every window
    watch.put("slow", 30, requests_count=49, failed_requests_count=49)  # too few to tell
    assert monitor.watch(END + 61) == {"fast": ["log"], "medium": ["log"], "slow": ["log"]}

    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [document for document in documents if "_aws" in document]
    burns = {m["window"]: m["burn_ratio"] for m in metrics if "burn_ratio" in m}
    assert {window: [round(v, 1) for v in values] for window, values in burns.items()} == {
        "5m": [300.0],
        "30m": [300.0],
        "1h": [300.0],
        "6h": [150.0],
        "3d": [66.7],
    }
    assert {m["model"] for m in metrics if "burn_ratio" in m} == {"log"}
    counts = {m["pair"]: m["burning_models_count"] for m in metrics if "pair" in m}
    assert counts == {"fast": [1.0], "medium": [1.0], "slow": [1.0]}
    (directive,) = metrics[-1]["_aws"]["CloudWatchMetrics"]
    assert set(directive["Dimensions"][0]) == {"stage", "service", "pair"}

    (notice,) = watch.notices()
    assert notice["Subject"] == "Quintet test: error budget burns (page): log"
    assert notice["Message"].splitlines()[0] == (
        "log: 60 of 200 requests failed, 300.0 times what 0.999 allows in 1h; page"
    )

    # five minutes later it still burns, and nobody is told again
    assert monitor.watch(END + 361) == {"medium": ["log"], "slow": ["log"]}
    assert watch.notices() == []

    of_predict = {
        "Timestamp": datetime.fromtimestamp(END, UTC),
        "Dimensions": [{"Name": "FunctionName", "Value": "predict"}],
    }
    watch.aws.client("cloudwatch").put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {"MetricName": "Errors", "Value": 3, **of_predict},
            {"MetricName": "Throttles", "Value": 2, **of_predict},
        ],
    )
    found = budgets_of(watch.stage, END + 61)
    budget = found.of["log"]
    assert (budget.spent.requests, budget.spent.failed, budget.spent.slow) == (1900, 60, 7)
    assert budget.availability_left == pytest.approx(1 - 60 / 1900 / 0.001)
    assert budget.latency_left == pytest.approx(1 - 7 / 1840 / 0.05)
    idle = next(one for model, one in found.of.items() if model not in ("log", "slow"))
    assert (idle.availability_left, idle.burns) == (None, {})
    console = Console(width=140, force_terminal=False)
    with console.capture() as seen:
        console.print(slo_table(found))
    row = next(line for line in seen.get().splitlines() if line.startswith("log "))
    assert row.split()[:6] == ["log", "1,900", "60", "0.999", "-3058%", "7"]
    assert row.split()[-5:] == ["300.0", "300.0", "300.0", "150.0", "66.7"]
    assert next(burning_lines(found)) == (
        "page: log burns at least 14.4 times too fast over 1h and 5m"
    )
    asked = sum(budget.spent.requests for budget in found.of.values())
    failed = sum(budget.spent.failed for budget in found.of.values())
    assert found.availability == pytest.approx(1 - (failed + 5) / (asked + 5))
    assert died_line(found) == (
        "3 calls of predict ended without a log line in 30 days (time-outs, crashes, memory), and "
        "2 were throttled; they are in no model's budget. With them, "
        f"{found.availability:.3%} of the stage's requests succeeded"
    )


def test_the_rollout_of_a_model_that_begins_to_burn_is_stopped(watch: Watch) -> None:
    later = END + 10 * 86_400
    for version in (1, 2):
        watch.aws.publish(replace(models.LOG, name="burns", version=version))
    store = Rollouts(AwsClient("dynamodb", environ=watch.aws.environ), "registry")
    started(store, model="burns", id="r1")
    for model in ("burns", "log"):  # of log there is no rollout
        watch.put(model, 30, later, requests_count=200, failed_requests_count=60)
    burning = {"fast": ["burns", "log"], "medium": ["burns", "log"], "slow": ["burns", "log"]}
    assert monitor.watch(later + 61) == burning
    assert watch.stops() == [
        Stop(
            at=later + 61,
            by="monitor",
            reason="the error budget burns: 60 of 200 requests failed, 300.0 times what 0.999 "
            "allows in 1h; page",
            model="burns",
        )
    ]
    assert monitor.watch(later + 361)  # it still burns
    assert watch.stops() == []
    assert store.write(transitions.roll_back(store.read("burns"), cause()))
