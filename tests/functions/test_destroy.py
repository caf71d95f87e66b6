"""`quintet destroy` against CloudFormation, S3, DynamoDB and CloudWatch Logs on a moto server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from tests.kits.aws import client, moto_server, reached_by
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_cli.destroyer import SAM_STACK, Destroyer, StageResources
from quintet_cli.stage import StageError

_numbers = itertools.count(1)
_TABLE = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
}
#: what outlives the stack, and what goes with it
RESOURCES: dict[str, Any] = {
    "Versioned": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},
    "Plain": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},
    "Kept": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "Properties": _TABLE},
    "Logs": {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Retain"},
    "Topic": {"Type": "AWS::SNS::Topic"},
}
#: moto makes it anew when the resources of a deleted stack are listed, so not in every test
PASSING: dict[str, Any] = {"Passing": {"Type": "AWS::DynamoDB::Table", "Properties": _TABLE}}
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture
def aws(url: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Clients of it; the command finds it too."""
    reached_by(monkeypatch, url)
    return partial(client, url=url)


def deploy(aws: Client, stage: str, resources: dict[str, Any] = RESOURCES) -> dict[str, str]:
    """Make a stack of the stage; its resources' names."""
    stacks, name = aws("cloudformation"), f"quintet-{stage}"
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    found = stacks.list_stack_resources(StackName=name)["StackResourceSummaries"]
    names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}
    if bucket := names.get("Versioned"):  # moto's CloudFormation leaves that out
        status = {"Status": "Enabled"}
        aws("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    return names


def fill(aws: Client, names: dict[str, str]) -> None:
    """Versions, delete markers, an upload that nobody ended, an item, a line of a log."""
    s3 = aws("s3")
    for bucket in (names["Versioned"], names["Plain"]):
        for body in (b"1", b"2"):
            s3.put_object(Bucket=bucket, Key="models/a/1/model.onnx", Body=body)
        s3.put_object(Bucket=bucket, Key="gone", Body=b"3")
        s3.delete_object(Bucket=bucket, Key="gone")
        s3.create_multipart_upload(Bucket=bucket, Key="half")
    aws("dynamodb").put_item(TableName=names["Kept"], Item={"key": {"S": "a"}})
    stream = {"logGroupName": names["Logs"], "logStreamName": "one"}
    aws("logs").create_log_stream(**stream)
    aws("logs").put_log_events(**stream, logEvents=[{"timestamp": 0, "message": "a line"}])


def stored(aws: Client) -> dict[str, set[str]]:
    """Everything that is there, by kind."""

    def listed(service: str, call: str, key: str) -> list[Any]:
        pages = aws(service).get_paginator(call).paginate()
        return [item for page in pages for item in page[key]]

    stacks = listed("cloudformation", "list_stacks", "StackSummaries")
    return {
        "stacks": {s["StackName"] for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"},
        "buckets": {bucket["Name"] for bucket in listed("s3", "list_buckets", "Buckets")},
        "tables": set(listed("dynamodb", "list_tables", "TableNames")),
        "logs": {g["logGroupName"] for g in listed("logs", "describe_log_groups", "logGroups")},
    }


def run(*arguments: str, typed: str = "") -> tuple[BaseException | None, list[str]]:
    """What the command raised, and the lines that it wrote."""
    result = CliRunner().invoke(app, ["destroy", *arguments], input=typed)
    return result.exception, result.stdout.splitlines()


def new_stage() -> str:
    return f"s{next(_numbers)}"


def test_a_stage_goes_with_all_that_it_holds_and_others_stay(aws: Client) -> None:
    before = stored(aws)
    stage = new_stage()
    other = deploy(aws, f"{stage}-eu", RESOURCES | PASSING)  # its names begin alike
    fill(aws, other)
    names = deploy(aws, stage, RESOURCES | PASSING)
    fill(aws, names)
    error, lines = run("--stage", stage, "--yes")
    assert error is None
    (stack,) = [line.split()[1] for line in lines if line.startswith("  stack")]
    assert lines == [
        "account 123456789012, region us-east-1",
        f"  stack     {stack}",
        f"  bucket    {names['Versioned']}",
        f"  bucket    {names['Plain']}",
        f"  table     {names['Kept']}",
        f"  table     {names['Passing']}",
        f"  log group {names['Logs']}",
        f"stack quintet-{stage}: deleting; this takes some minutes",
        f"stack quintet-{stage} deleted",
        f"bucket {names['Versioned']}: 4 versions deleted",
        f"bucket {names['Plain']}: 1 versions deleted",
        f"table {names['Kept']} deleted",
        f"log group {names['Logs']} deleted",
        f"all resources of stage {stage} are deleted",
        f"stack {SAM_STACK} is kept: SAM shares its bucket between all applications",
    ]
    assert stored(aws) == {
        "stacks": before["stacks"] | {f"quintet-{stage}-eu"},
        "buckets": before["buckets"] | {other["Versioned"], other["Plain"]},
        "tables": before["tables"] | {other["Kept"], other["Passing"]},
        "logs": before["logs"] | {other["Logs"]},
    }
    versions = aws("s3").list_object_versions(Bucket=other["Versioned"])
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (3, 1)


def test_more_versions_than_one_call_takes(aws: Client) -> None:
    stage = new_stage()
    names = deploy(aws, stage, {"Versioned": RESOURCES["Versioned"]})
    for number in range(1_001):
        aws("s3").put_object(Bucket=names["Versioned"], Key=f"{number % 7}", Body=b"")
    error, lines = run("--stage", stage, "--yes")
    assert error is None
    assert f"bucket {names['Versioned']}: 1001 versions deleted" in lines
    assert names["Versioned"] not in stored(aws)["buckets"]


class Stopped(Exception):
    """Ctrl-C, or the end of the machine."""


@pytest.mark.parametrize("steps", range(5))
def test_what_was_stopped_on_the_way_goes_on_from_there(aws: Client, steps: int) -> None:
    stage = new_stage()
    before = stored(aws)
    names = deploy(aws, stage)
    fill(aws, names)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) > steps:
            raise Stopped

    first = Destroyer(aws, stage, say)
    with pytest.raises(Stopped):
        first.destroy(first.find())
    assert stored(aws) != before
    error, _ = run("--stage", stage, "--yes")
    assert error is None
    assert stored(aws) == before
    assert Destroyer(aws, stage).find() == StageResources()


def test_what_an_earlier_stack_of_the_stage_left_behind_goes_too(aws: Client) -> None:
    stage = new_stage()
    before = stored(aws)
    fill(aws, deploy(aws, stage))
    aws("cloudformation").delete_stack(StackName=f"quintet-{stage}")
    fill(aws, deploy(aws, stage))
    error, _ = run("--stage", stage, "--yes")
    assert error is None
    assert stored(aws) == before


def test_a_second_time_there_is_nothing_to_do(aws: Client) -> None:
    stage = new_stage()
    error, lines = run("--stage", stage, "--yes")
    assert error is None
    assert lines == [
        "account 123456789012, region us-east-1",
        f"no resource of stage {stage} exists here",
    ]


def test_it_asks_and_takes_nothing_but_the_stages_name_for_an_answer(aws: Client) -> None:
    stage = new_stage()
    fill(aws, deploy(aws, stage))
    before = stored(aws)
    for answer in ("yes\n", "y\n", "\n", ""):
        error, _ = run("--stage", stage, typed=answer)
        assert error is not None
        assert stored(aws) == before
    error, _ = run("--stage", stage, typed=f"{stage}\n")
    assert error is None
    assert f"quintet-{stage}" not in stored(aws)["stacks"]


def test_the_packages_of_the_stage_leave_sams_bucket_and_others_stay(aws: Client) -> None:
    outputs = {"SourceBucket": {"Value": {"Ref": "Packages"}}}
    template = {"Resources": {"Packages": RESOURCES["Versioned"]}, "Outputs": outputs}
    aws("cloudformation").create_stack(StackName=SAM_STACK, TemplateBody=json.dumps(template))
    (stack,) = aws("cloudformation").describe_stacks(StackName=SAM_STACK)["Stacks"]
    bucket, stage = stack["Outputs"][0]["OutputValue"], new_stage()
    for key in (f"quintet-{stage}/a", f"quintet-{stage}-eu/a", "b"):
        aws("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    error, lines = run("--stage", stage, "--yes")
    assert error is None
    assert f"packages {bucket}/quintet-{stage}/: 1 versions deleted" in lines
    found = aws("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert {one["Key"] for one in found} == {f"quintet-{stage}-eu/a", "b"}


def test_the_local_stage_is_not_destroyed(aws: Client) -> None:
    error, _ = run("--stage", "local", "--yes")
    assert isinstance(error, StageError)
    assert str(error) == (
        "the local AWS is no deployed stage; stop it, then `quintet up --fresh`, or removing "
        ".quintet, deletes what it keeps"
    )


def test_a_call_that_aws_refuses_says_how_to_go_on(
    aws: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = new_stage()
    names = deploy(aws, stage, {"Kept": RESOURCES["Kept"]})
    aws("dynamodb").update_table(TableName=names["Kept"], DeletionProtectionEnabled=True)
    error, _ = run("--stage", stage, "--yes")
    assert isinstance(error, StageError)
    assert error.command == f"quintet destroy --stage {stage}"
    assert names["Kept"] in stored(aws)["tables"]
    aws("dynamodb").update_table(TableName=names["Kept"], DeletionProtectionEnabled=False)
    assert run("--stage", stage, "--yes")[0] is None
    assert names["Kept"] not in stored(aws)["tables"]


def test_a_stage_without_a_region_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    error, _ = run("--stage", "dev", "--yes")
    assert str(error).startswith("no AWS region is configured: set AWS_REGION")
