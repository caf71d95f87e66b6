"""What AWS refuses and moto does not: of the template, of calls, of an account's executions."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import ROOT

from quintet_local.functions import Function
from quintet_local.plan import Plan, plan
from quintet_local.plane import Limits, Plane, Throttled
from quintet_local.stack import Stack, describe
from quintet_local.strict import Strictness, refusals
from quintet_local.strict_calls import Ramp, StrictCalls, item_bytes
from quintet_local.template import TemplateError, load

PROD = {"PredictProvisionedConcurrency": "2", "PredictMaxProvisionedConcurrency": "10"}


def made(folder: Path, **parameters: str) -> tuple[Plan, Stack]:
    found = plan(load(ROOT / "template.yaml", parameters), "http://127.0.0.1:4566")
    return found, describe(found, folder)


@pytest.mark.parametrize("parameters", [{}, PROD])
def test_the_template_that_ships_is_taken(tmp_path: Path, parameters: dict[str, str]) -> None:
    found, stack = made(tmp_path, **parameters)
    assert list(refusals(found, stack, executions=1000)) == []
    Strictness(on=True, executions=1000).check(found, stack)


def changed(found: Plan, kind: str, **properties: Any) -> Plan:
    """The plan with the first resource of a kind changed."""
    name = next(iter(found.of_type(kind)))
    resource = found.resources[name]
    other = {**resource, "Properties": {**resource.get("Properties", {}), **properties}}
    return replace(found, resources={**found.resources, name: other})


@pytest.mark.parametrize(
    ("kind", "properties", "refusal"),
    [
        (
            "AWS::Lambda::Function",
            {"Environment": {"Variables": {"A": "x" * 4096}}},
            "environment variables of 4,104 bytes, at most 4,096",
        ),
        ("AWS::Lambda::Function", {"Layers": ["a"] * 6}, "6 layers, at most 5"),
        ("AWS::Lambda::Function", {"Timeout": 901}, "Timeout: 901 is not from 1 to 900"),
        ("AWS::Lambda::Function", {"MemorySize": 64}, "MemorySize: 64 is not from 128 to 10240"),
        (
            "AWS::IAM::Role",
            {"Policies": [{"PolicyDocument": {"a": "x" * 10_240}}]},
            "inline policies of 10,248 characters, at most 10,240",
        ),
        (
            "AWS::StepFunctions::StateMachine",
            {"StateMachineName": "m" * 81},
            "StateMachineName has 81 characters, at most 80",
        ),
        ("AWS::S3::Bucket", {"BucketName": "Mine"}, "BucketName Mine: expected lower case"),
        ("AWS::SQS::Queue", {"VisibilityTimeout": 43_201}, "43201 is not from 0 to 43200"),
        ("AWS::SQS::Queue", {"MessageRetentionPeriod": 59}, "59 is not from 60 to 1209600"),
    ],
)
def test_a_resource_that_aws_refuses_is_named(
    tmp_path: Path, kind: str, properties: dict[str, Any], refusal: str
) -> None:
    found, stack = made(tmp_path)
    (told,) = refusals(changed(found, kind, **properties), stack)
    assert told.endswith(refusal)
    assert told.partition(":")[0] in found.of_type(kind)


def test_a_maximum_under_the_minimum_of_scaling_is_refused(tmp_path: Path) -> None:
    given = {"PredictProvisionedConcurrency": "5", "PredictMaxProvisionedConcurrency": "2"}
    found, stack = made(tmp_path, **given)
    with pytest.raises(TemplateError, match="PredictScalableTarget: MaxCapacity 2 is under"):
        Strictness(on=True).check(found, stack)


@pytest.mark.parametrize(("executions", "taken"), [(10, False), (101, False), (102, True)])
def test_provisioned_concurrency_needs_room_in_the_account(
    tmp_path: Path, executions: int, taken: bool
) -> None:
    told = list(refusals(*made(tmp_path, **PROD), executions))
    assert (told == []) is taken
    if not taken:
        assert told[0].startswith("Predict 2 executions are reserved or provisioned")


# ---- executions of the account -------------------------------------------------------------------


def test_an_accounts_executions_bound_all_functions_that_reserve_none(tmp_path: Path) -> None:
    def function(name: str, reserved: int | None = None) -> Function:
        return Function(name, name, f"arn:{name}", "app.handler", tmp_path, reserved=reserved)

    functions = {f.name: f for f in (function("a"), function("b"), function("own", 2))}

    async def test() -> None:
        plane = Plane(functions, lambda *_: None, tmp_path, Limits(executions=5))
        plane._running |= {"a": 2, "own": 1}
        assert [plane._free(functions[name]) for name in ("a", "b", "own")] == [1, 1, 1]
        plane._running["b"] = 1
        for name in ("a", "b"):
            with pytest.raises(Throttled):
                await plane.invoke(name, b"{}")
        assert plane._free(functions["own"]) == 1

    asyncio.run(test())


# ---- calls ---------------------------------------------------------------------------------------


def call(application: StrictCalls, target: str, payload: Any) -> Any:
    body = json.dumps(payload).encode()
    environ = {"HTTP_X_AMZ_TARGET": target, "wsgi.input": io.BytesIO(body)}
    return json.loads(b"".join(application(environ, lambda *_: None)))


def moto(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    assert environ["wsgi.input"].read()  # the whole body is still there
    return [b'"taken"']


def put(size: int) -> dict[str, Any]:
    return {"TableName": "t", "Item": {"id": {"S": "x" * (size - 2)}}}


def test_sizes_of_items_transactions_batches_and_inputs_are_bounded() -> None:
    strict = StrictCalls(moto)
    dynamodb = "DynamoDB_20120810."
    half = {"Put": put(200 * 1024)}
    many = [{"PutRequest": {"Item": put(10)["Item"]}}] * 26
    taken = [
        ("PutItem", put(400 * 1024)),
        ("TransactWriteItems", {"TransactItems": [half] * 20}),
        ("BatchWriteItem", {"RequestItems": {"t": many[:25]}}),
        ("BatchWriteItem", {"RequestItems": {"t": [{"DeleteRequest": {"Key": {}}}]}}),
        ("GetItem", {"TableName": "t"}),
    ]
    refused = [
        ("PutItem", put(400 * 1024 + 1)),
        ("TransactWriteItems", {"TransactItems": [half] * 21}),
        ("BatchWriteItem", {"RequestItems": {"t": many}}),
    ]
    for operation, payload in taken:
        assert call(strict, dynamodb + operation, payload) == "taken"
    for operation, payload in refused:
        assert call(strict, dynamodb + operation, payload)["__type"].endswith(
            "#ValidationException"
        )
    start = "AWSStepFunctions.StartExecution"
    assert call(strict, start, {"input": "x" * 262_144}) == "taken"
    assert call(strict, start, {"input": "x" * 262_145})["__type"] == "InvalidExecutionInput"


def test_a_new_table_takes_so_many_writes_a_second() -> None:
    now = [0.0]
    strict = StrictCalls(moto, Ramp(units=10, clock=lambda: now[0]))
    put_item, transact = "DynamoDB_20120810.PutItem", "DynamoDB_20120810.TransactWriteItems"
    assert call(strict, put_item, put(3 * 1024)) == "taken"  # 3 units
    assert call(strict, transact, {"TransactItems": [{"Put": put(3 * 1024)}]}) == "taken"  # 6
    assert call(strict, put_item, put(2 * 1024))["__type"].endswith("#ThrottlingException")
    assert call(strict, put_item, {**put(2 * 1024), "TableName": "other"}) == "taken"
    now[0] = 1.0
    assert call(strict, put_item, put(2 * 1024)) == "taken"


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": {"S": "é"}}, 3),
        ({"a": {"N": "1234"}}, 4),
        ({"a": {"BOOL": True}, "b": {"NULL": True}}, 4),
        ({"a": {"B": "AAAA"}}, 4),
        ({"a": {"L": [{"S": "xy"}, {"M": {"k": {"S": "v"}}}]}}, 1 + 3 + 3 + (3 + 2 + 1) + 1),
        ({"a": {"SS": ["xy", "z"]}}, 4),
    ],
)
def test_an_items_bytes_are_counted_as_dynamodb_does(item: dict[str, Any], size: int) -> None:
    assert item_bytes(item) == size
