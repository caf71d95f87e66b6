"""watch_ages over moto's services: from captures to metrics and log lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.functions.conftest import OnlineAws
from tests.kits.aws import forget_built
from tests.kits.captures import CAPTURED, delivery, lines_of
from tests.kits.models import GRAPHS, NOW, ROWS, publish_graph
from tests.kits.registries import registry_at

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.captures.delivery import deliver
from quintet.wiring import ages, common

#: the model "shop" under another name: the session's others are not captured
CONTRACT = replace(CAPTURED, name="aged")


@pytest.fixture
def bucket(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptureBucket]:
    settings = {
        "QUINTET_CAPTURES_BUCKET": "captures-bucket",
        "POWERTOOLS_SERVICE_NAME": "watch_ages",
    }
    for name, value in {**online_aws.environ, **settings}.items():
        monkeypatch.setenv(name, value)
    forget_built("ages")
    s3, dynamodb = online_aws.client("s3"), online_aws.client("dynamodb")
    registry = registry_at(s3, dynamodb, bucket="registry-bucket", table="registry")
    if "aged" not in common.registry("registry").models():
        publish_graph(CONTRACT, GRAPHS["shop"](), ROWS["shop"], registry)
    yield CaptureBucket(AwsClient("s3", environ=online_aws.environ), "captures-bucket")
    forget_built("ages")


def capture(bucket: CaptureBucket, event: str, customer: str, now: float) -> None:
    """Capture a request of a customer: the value of c1 is of NOW - 600, of c2 a day old."""
    lines = lines_of(event, [{"customer": customer, "amount": 1}], now=now)
    renamed = [line.replace('"model":"shop"', '"model":"aged"') for line in lines]
    deliver(delivery(renamed), bucket)


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged, without what each line has."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_feature_is_aging_before_it_is_too_old(
    bucket: CaptureBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    capture(bucket, "e1", "c1", NOW)
    capture(bucket, "old", "c2", NOW - 7200)  # not of the last hour
    assert ages.watch(NOW + 1) == {}
    metrics = [line for line in written(capsys) if "_aws" in line]
    assert [line["feature_age_ratio"] for line in metrics if "model" in line] == [[600 / 3600]]
    assert [line["aging_features_count"] for line in metrics if "model" not in line] == [[0]]

    capture(bucket, "e2", "c1", NOW + 10_000 - 7600)  # 3,000 s after its value
    assert ages.watch(NOW + 10_000 - 4000) == {"aged": ["orders_90d"]}
    lines = written(capsys)
    (told,) = [line for line in lines if line.get("message") == "ages"]
    assert {name: told[name] for name in ("level", "model", "feature", "max_age", "p95")} == {
        "level": "WARNING",
        "model": "aged",
        "feature": "orders_90d",
        "max_age": 3600.0,
        "p95": 3000.0,
    }
    metrics = [line for line in lines if "_aws" in line]
    assert [line["aging_features_count"] for line in metrics if "model" not in line] == [[1]]


def test_an_hour_without_captures_has_no_ages(
    bucket: CaptureBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ages.watch(NOW + 1e6) == {}
    metrics = [line for line in written(capsys) if "_aws" in line]
    assert [line.get("feature_age_ratio") for line in metrics] == [None]
