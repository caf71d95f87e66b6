"""docs/costs.md against the template and the prices that it is made of."""

from __future__ import annotations

import pytest
from benchmarks.costs import MONTH_HOURS, PAGE, beside, filled, idle, stage
from benchmarks.costs_million import Line, jobs_by_size, million

from quintet.batch.costs import prices
from quintet_local.plan import Plan


def by_name(lines: list[Line]) -> dict[str, float]:
    return {line.what: line.usd for line in lines}


def test_the_page_is_what_the_template_and_the_prices_give() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m benchmarks.costs --write"


def test_a_page_without_a_sections_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no section between <!-- idle -->"):
        filled(PAGE.read_text(encoding="utf-8").replace("<!-- idle -->", ""))


def test_an_idle_stage_pays_for_what_stands() -> None:
    lines = by_name(idle(stage(StreamShards="2", PredictProvisionedConcurrency="3")))
    assert lines["Kinesis shards"] == pytest.approx(2 * 0.015 * 730)
    seconds = 3600 * MONTH_HOURS
    warm = 3 * 1769 / 1024 * seconds * prices()["lambda"]["provisioned_gb_second"]
    assert lines["provisioned concurrency"] == pytest.approx(warm)
    mappings = stage().of_type("AWS::Lambda::EventSourceMapping").values()
    queues = sum(":sqs:" in mapping["EventSourceArn"] for mapping in mappings)
    # 15 polls a minute each
    polls = pytest.approx(queues * 15 * 60 * 730 * 0.4e-6)
    assert lines["SQS, polls of empty queues"] == polls
    assert by_name(idle(stage(SealedCaptures="on")))["the key of captures"] == 1
    without = by_name(idle(stage()))
    assert "the key of captures" not in without
    assert "provisioned concurrency" not in without
    assert without["Kinesis shards"] == pytest.approx(0.015 * 730)
    assert by_name(beside(stage()))["a pre-started environment"] == pytest.approx(warm / 3)


def test_a_kind_of_resource_that_nobody_has_priced_is_refused() -> None:
    of = stage()
    resources = {**of.resources, "Cache": {"Type": "AWS::ElastiCache::ServerlessCache"}}
    planned = Plan(of.template, resources, of.identities, of.outputs)
    with pytest.raises(ValueError, match="ElastiCache::ServerlessCache: add it to FREE or to"):
        idle(planned)


def test_large_requests_cost_little_more_than_small_ones() -> None:
    one, ten, hundred = (line.usd for line in jobs_by_size((1, 10, 100)))
    assert one < 25
    # by S3: in the item, 100 KB would cost some 440 dollars more
    assert ten == hundred < 25


def test_a_million_of_each_follow_from_sizes_and_prices() -> None:
    plain = {title.split(":")[0]: by_name(lines) for title, lines in million(stage()).items()}
    online = plain["Online"]
    # 5 ms of 1,769 MB each, and half a read unit
    assert online["Lambda"] == pytest.approx(0.2 + 1e6 * 0.005 * 1769 / 1024 * 0.0000166667)
    assert online["DynamoDB"] == pytest.approx(1e6 * 0.125e-6 / 2)
    assert online["API Gateway"] == pytest.approx(3.5)
    large = {
        title.split(":")[0]: by_name(lines)
        for title, lines in million(stage(PredictMemoryMb="3538", StreamBatchSize="500")).items()
    }
    assert large["Online"]["Lambda"] - 0.2 == pytest.approx(2 * (online["Lambda"] - 0.2))
    assert large["Streaming"]["S3"] == pytest.approx(2 * plain["Streaming"]["S3"])
    requests = {"Online", "Asynchronous", "Streaming", "Batch", "Candidates", "Look-up"}
    assert set(plain) == requests | {"Captures", "Rollouts"}
    assert plain["Candidates"]["DynamoDB"] == pytest.approx(1.25)
    assert plain["Captures"]["logs"] == pytest.approx(1.1 * 0.5)
