"""Mappings of queues that Lambda would refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import ROOT

from quintet_local.functions import Function
from quintet_local.plan import plan
from quintet_local.sources.checks import check_queue, check_sources
from quintet_local.sources.kinesis_config import Refused
from quintet_local.stack import describe
from quintet_local.template import TemplateError, load

FUNCTION = Function("Work", "quintet-local-Work", "arn", "app.handler", ROOT, timeout=60)
QUEUE = {"VisibilityTimeout": 360}


@pytest.mark.parametrize(
    ("properties", "queue", "refusal"),
    [
        ({}, {"VisibilityTimeout": 59}, "visibility time-out of 59 s is less than the time-out of"),
        ({}, {"QueueName": "q"}, "visibility time-out of 30 s is less than the time-out of Work"),
        ({"BatchSize": 11}, QUEUE, "must be 1 or more with a BatchSize over 10"),
        ({"BatchSize": 10_001}, QUEUE, "BatchSize: 10001 is not from 1 to 10000"),
        ({"BatchSize": 11}, {**QUEUE, "FifoQueue": True}, "BatchSize: 11 is not from 1 to 10"),
        ({"MaximumBatchingWindowInSeconds": 301}, QUEUE, "301 is not from 0 to 300"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, QUEUE, "1 is not from 2 to 1000"),
        ({"TumblingWindowInSeconds": 30}, QUEUE, "TumblingWindowInSeconds: only streams have it"),
    ],
)
def test_a_mapping_of_a_queue_is_refused(
    properties: dict[str, Any], queue: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(Refused, match=refusal):
        check_queue(properties, queue, FUNCTION)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1},
        {"ScalingConfig": {"MaximumConcurrency": 2}},
    ],
)
def test_a_mapping_within_its_bounds_is_made(properties: dict[str, Any]) -> None:
    check_queue(properties, {"VisibilityTimeout": 60}, FUNCTION)


def test_the_mappings_that_ship_are_made(tmp_path: Path) -> None:
    made = plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566")
    check_sources(made, describe(made, tmp_path))


def test_the_local_aws_refuses_a_visibility_under_the_time_out(tmp_path: Path) -> None:
    text = (ROOT / "template.yaml").read_text()
    text = text.replace("VisibilityTimeout: 180 # six times drop", "VisibilityTimeout: 20 # drop")
    (tmp_path / "template.yaml").write_text(text)
    for name in ("functions", "layers", "statemachines"):
        (tmp_path / name).symlink_to(ROOT / name)
    made = plan(load(tmp_path / "template.yaml"), "http://127.0.0.1:4566")
    with pytest.raises(TemplateError, match=r"DropDropped: .* 20 s is less than .* Drop, 30 s"):
        check_sources(made, describe(made, tmp_path / "scratch"))
