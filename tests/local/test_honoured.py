"""What the local AWS does not honour is reported, by resource and property."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import ROOT

from quintet_cli.terminal import Console
from quintet_cli.views.local import print_started
from quintet_local.honoured import HONOURED, NOTES, Notice, compact, notices
from quintet_local.plan import plan
from quintet_local.template import load, read

ENDPOINT = "http://127.0.0.1:4566"


@cache
def reported(path: Path) -> set[str]:
    return {str(notice) for notice in notices(plan(load(path), ENDPOINT))}


def with_change(folder: Path, change: dict[str, dict[str, Any]]) -> Path:
    """A copy of the template with properties changed, `{resource: {property: value}}`."""
    template = read(ROOT / "template.yaml")
    for resource, properties in change.items():
        template["Resources"][resource].setdefault("Properties", {}).update(properties)
    path = folder / "template.yaml"
    path.write_text(json.dumps(template))  # which is YAML, too
    return path


def test_the_template_as_it_is_has_these_notices() -> None:
    found = reported(ROOT / "template.yaml")
    assert {
        "ApiStage.MethodSettings: no throttling and no metrics of the API here",
        "Predict.TracingConfig: no X-Ray here; spans of every call are kept for `quintet trace`",
        "CaptureDeliveryAlarm: not evaluated: AWS/Logs has no DeliveryErrors here",
        "InboxBucketPolicy: AWS::S3::BucketPolicy: "
        "bucket policies are not enforced here (no TLS here either)",
    } <= found
    # each has a reason of its own: none is there for want of a line in the tables
    assert not [text for text in found if text.endswith((": not honoured here", "not made here"))]


@pytest.mark.parametrize(
    ("change", "notice"),
    [
        (
            {"InboxBucket": {"AccelerateConfiguration": {"AccelerationStatus": "Enabled"}}},
            "InboxBucket.AccelerateConfiguration: not honoured here",
        ),
        (
            {"InboxBucket": {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}},
            "InboxBucket.NotificationConfiguration.EventBridgeConfiguration: not honoured here",
        ),
        (
            {"Drop": {"EphemeralStorage": {"Size": 1024}}},
            "Drop.EphemeralStorage: not honoured here",
        ),
        (
            {"Drop": {"LoggingConfig": {"LogFormat": "JSON"}}},
            "Drop.LoggingConfig.LogFormat: log lines stay as the function wrote them",
        ),
        (
            {"Api": {"MethodSettings": None, "CacheClusterEnabled": True}},
            "ApiStage.CacheClusterEnabled: not honoured here",
        ),
        (
            {"DropQueue": {"Unheard": 1}},
            "DropQueue.Unheard: not honoured here",
        ),
        (
            {"FeaturesTable": {"TableClass": "STANDARD"}},
            "FeaturesTable.TableClass: not honoured here",
        ),
    ],
)
def test_a_property_that_is_not_honoured_is_reported(
    tmp_path: Path, change: dict[str, dict[str, Any]], notice: str
) -> None:
    assert notice not in reported(ROOT / "template.yaml")
    assert notice in reported(with_change(tmp_path, change))


def test_a_resource_of_an_unknown_type_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        "Resources: {Pool: {Type: AWS::Cognito::UserPool}, "
        "Queue: {Type: AWS::SQS::Queue, UpdatePolicy: {}}}"
    )
    assert reported(path) == {
        "Pool: AWS::Cognito::UserPool: not made here",
        "Queue.(UpdatePolicy): not honoured here",
    }


def test_an_event_source_that_is_not_served_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        "Resources: {Mapping: {Type: AWS::Lambda::EventSourceMapping, Properties: "
        "{EventSourceArn: 'arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/s', "
        "FunctionName: f, FilterCriteria: {Filters: []}}}}"
    )
    assert reported(path) == {
        "Mapping.EventSourceArn: events of dynamodb are not delivered here",
        "Mapping.FilterCriteria: not honoured here",
    }


def test_a_property_is_honoured_or_noted_never_both() -> None:
    for kind, notes in NOTES.items():
        assert not set(notes) & set(HONOURED.get(kind, ())), kind


def test_the_short_form_has_a_line_for_each_property_and_reason() -> None:
    found = notices(plan(load(ROOT / "template.yaml"), ENDPOINT))
    lines = compact(found)
    assert len(lines) == len({(notice.property, notice.reason) for notice in found})
    assert max(map(len, lines)) < 200
    names = ["A", "B", "C", "D"]
    some = [Notice(name, "Role", "no IAM") for name in names]
    assert compact(some[:3]) == ["A, B, C .Role: no IAM"]
    assert compact([*some, Notice("E", "", "no such")]) == [
        "A, B and 2 more .Role: no IAM",
        "E: no such",
    ]


def test_the_long_form_names_every_resource() -> None:
    found = notices(plan(load(ROOT / "template.yaml"), ENDPOINT))
    page = {
        "api_url": "http://a",
        "endpoint_url": "http://e",
        "outputs": {},
        "not_honoured": [asdict(notice) for notice in found],
        "not_honoured_compact": ["short"],
        "kept": {"objects": 0, "items": 0},
    }
    console = Console(width=80)
    with console.capture() as seen:
        print_started(console, page, Path("state"), "hint", None, verbose=True)
    told = seen.get().split("not honoured here\n")[1]
    assert told.split("\n\n")[0].splitlines() == [f"  {notice}" for notice in found]


def test_the_short_form_has_the_addresses_and_counts_the_rest() -> None:
    page = {
        "api_url": "http://a",
        "endpoint_url": "http://e",
        "outputs": {"InboxBucketName": "inbox"},
        "not_honoured": [],
        "not_honoured_compact": ["one", "two"],
        "kept": {"objects": 1, "items": 2},
    }
    console = Console(width=80)
    with console.capture() as seen:
        print_started(console, page, Path("state"), "hint", "http://c", verbose=False)
    assert seen.get().splitlines() == [
        "API                  http://a",
        "AWS endpoint         http://e",
        "Console              http://c",
        "state keeps buckets and tables (1 objects and 2 items from before), and logs/ of "
        "functions",
        "not kept after a stop: messages, stream records, runs under way, schedules, and "
        "CloudWatch's metrics and logs",
        "2 kinds of properties of the template are not honoured here: `quintet status` has a line "
        "for each",
        "hint",
    ]
