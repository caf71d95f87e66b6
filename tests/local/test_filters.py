"""Subscription filters of log groups: which lines a function gets, and how."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import LocalAws, eventually

from quintet_local import filters
from quintet_local.filters import Filter, PatternError, deliveries, matcher
from quintet_local.honoured import notices
from quintet_local.plan import plan
from quintet_local.template import load

FILTER = Filter("captures", "/aws/lambda/predict", "arn:aws:lambda:::function:capture", "")


@pytest.mark.parametrize(
    ("pattern", "line", "picked"),
    [
        ("", "anything", True),
        ("{ $.capture = 1 }", '{"capture": 1}', True),
        ("{ $.capture = 1 }", '{"capture": 1.0}', True),
        ("{ $.capture = 1 }", '{"capture": 2}', False),
        ("{ $.capture = 1 }", '{"capture": "1"}', False),
        ("{ $.capture = 1 }", '{"capture": true}', False),
        ("{ $.capture = 1 }", '{"other": 1}', False),
        ("{ $.capture = 1 }", '["capture", 1]', False),
        ("{ $.capture = 1 }", 'INFO {"capture": 1}', False),
        ("{$.capture=1}", '{"capture": 1}', True),
        ("{ $.capture != 1 }", '{"capture": 2}', True),
        ("{ $.capture != 1 }", "{}", False),
        ('{ $.a.b = "x y" }', '{"a": {"b": "x y"}}', True),
        ('{ $.a.b = "x y" }', '{"a": "x y"}', False),
        ("{ $.level = ERR* }", '{"level": "ERROR"}', True),
        ("{ $.level = E.R* }", '{"level": "ERROR"}', False),
        ('{ $.a = 1 && $.b = "c" }', '{"a": 1, "b": "c"}', True),
        ('{ $.a = 1 && $.b = "c" }', '{"a": 1}', False),
        ('{ $.a = 1 || $.b = "c" && $.d = 2 }', '{"b": "c", "d": 2}', True),
        ('{ $.a = 1 || $.b = "c" && $.d = 2 }', '{"b": "c"}', False),
    ],
)
def test_a_pattern_picks_lines(pattern: str, line: str, picked: bool) -> None:
    assert matcher(pattern)(line) is picked


@pytest.mark.parametrize(
    "pattern",
    ["ERROR", "[ip, user]", "{ $.a > 1 }", "{ $.a IS TRUE }", "{ ($.a = 1) }", "{ $.a = }", "{}"],
)
def test_other_patterns_are_not_read_and_reported(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(PatternError):
        matcher(pattern)
    path = tmp_path / "template.yaml"
    path.write_text(
        "Resources: {Filter: {Type: AWS::Logs::SubscriptionFilter, Properties: {LogGroupName: g, "
        "DestinationArn: 'arn:aws:lambda:us-east-1:123456789012:function:f', "
        f"FilterPattern: {json.dumps(pattern)}}}}}}}"
    )
    (notice,) = notices(plan(load(path), "http://127.0.0.1:4566"))
    assert (notice.resource, notice.property) == ("Filter", "FilterPattern")
    assert notice.reason.endswith("; no line is delivered")


def test_a_filter_to_a_stream_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        "Resources: {Filter: {Type: AWS::Logs::SubscriptionFilter, Properties: {LogGroupName: g, "
        "DestinationArn: 'arn:aws:kinesis:us-east-1:123456789012:stream/s', FilterPattern: ''}}}"
    )
    (notice,) = notices(plan(load(path), "http://127.0.0.1:4566"))
    assert str(notice) == "Filter.DestinationArn: lines are delivered to functions alone here"


def unpacked(event: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    return data


def test_lines_are_delivered_in_batches_as_lambda_gets_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html."""
    monkeypatch.setattr(filters, "MAX_BYTES", 25)
    lines = [(number, f"a line of {number:04d}") for number in range(3)]
    first, second, third = (unpacked(json.loads(e)) for e in deliveries(FILTER, "stream", lines))
    ids = [event.pop("id") for event in first["logEvents"]]
    assert len(ids[0]) > 20
    assert first == {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/aws/lambda/predict",
        "logStream": "stream",
        "subscriptionFilters": ["captures"],
        "logEvents": [{"timestamp": 0, "message": "a line of 0000"}],
    }
    messages = [event["message"] for data in (second, third) for event in data["logEvents"]]
    assert messages == ["a line of 0001", "a line of 0002"]


def test_a_function_gets_the_lines_of_its_pattern_alone(stack: LocalAws) -> None:
    """What fails goes to the bucket of its OnFailure, whole.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    texts = [
        '{"keep": 1, "to": {"whom": "me"}}',
        '{"keep": 2, "to": {"whom": "me"}}',
        '{"keep": 1, "to": {"whom": "someone else"}}',
    ]
    for text in texts:
        stack.client("lambda").invoke(
            FunctionName="quintet-local-Echo", Payload=json.dumps({"do": "print", "text": text})
        )
    s3 = stack.client("s3")

    def objects(prefix: str) -> list[dict[str, Any]]:
        found = s3.list_objects_v2(Bucket="quintet-local-seen", Prefix=prefix)
        keys = [one["Key"] for one in found.get("Contents", ())]
        bodies = (s3.get_object(Bucket="quintet-local-seen", Key=key)["Body"] for key in keys)
        return [json.loads(body.read()) for body in bodies]

    (failed,) = eventually(lambda: objects("aws/lambda/async/quintet-local-Listener/20"))
    (kept,) = objects("listener/")
    assert failed["requestPayload"] == kept["event"]
    assert failed["requestContext"]["condition"] == "RetriesExhausted"
    data = unpacked(kept["event"])
    assert data["logGroup"] == "/aws/lambda/quintet-local-Echo"
    assert [event["message"] for event in data["logEvents"]] == texts[:1]
