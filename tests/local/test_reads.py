"""Reads by key without moto's framework: the same responses, and only where they are the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from typing import Any

import pytest
from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from quintet_local.faults import CallRates, FaultPlan, Faults
from quintet_local.faulty_calls import FaultyCalls
from quintet_local.http1 import Hangup, Request, Response
from quintet_local.reads import QuickReads
from quintet_local.strict_calls import StrictCalls
from quintet_local.tables import items_in_plain_json
from quintet_local.wsgi import call, environ_of

TABLE, FLAT, REGION = "reads", "flat", "us-east-1"
KEY = {"id": {"S": "a"}, "n": {"N": "1"}}
BATCH = {"Keys": [KEY, {"id": {"S": "a"}, "n": {"N": "3"}}, {"id": {"S": "no"}, "n": {"N": "3"}}]}
QUERY: dict[str, Any] = {
    "TableName": TABLE,
    "KeyConditionExpression": "#i = :i",
    "ExpressionAttributeNames": {"#i": "id"},
    "ExpressionAttributeValues": {":i": {"S": "a"}},
}
KINDS = {
    "text": {"S": 'ä \u2028 "'},
    "bytes": {"B": "AP8K"},
    "nothing": {"NULL": True},
    "truth": {"BOOL": False},
    "texts": {"SS": ["a", "b"]},
    "blobs": {"BS": ["AA==", "AQ=="]},
    "list": {"L": [{"B": "/g=="}, {"M": {"deep": {"L": []}, "x": {"N": "1.50"}}}]},
}
Given = dict[str, Any]


class Services:
    """moto's services; counts the calls that arrive."""

    def __init__(self) -> None:
        self._services = DomainDispatcherApplication(create_backend_app)
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls += 1
        answer: Iterable[bytes] = self._services(environ, start_response)
        return answer


@pytest.fixture(scope="module")
def services() -> Iterable[Services]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("batch_get_item", "get_item", "query"):
            quick = items_in_plain_json(getattr(DynamoHandler, name))
            patch.setattr(DynamoHandler, name, quick)
        made = Services()
        ask(made, "CreateTable", table(TABLE, {"id": "S", "n": "N"}))
        ask(made, "CreateTable", table(FLAT, {"id": "S"}))
        for number in range(6):
            item = {"id": {"S": "a"}, "n": {"N": str(number)}, "of": {"S": f"o{number % 2}"}}
            ask(made, "PutItem", {"TableName": TABLE, "Item": item | KINDS})
        ask(made, "PutItem", {"TableName": FLAT, "Item": {"id": {"S": "a"}, **KINDS}})
        yield made
        for name in (TABLE, FLAT):
            ask(made, "DeleteTable", {"TableName": name})


def table(name: str, kinds: dict[str, str]) -> Given:
    keys = [
        {"AttributeName": key, "KeyType": role}
        for key, role in zip(kinds, ("HASH", "RANGE"), strict=False)
    ]
    by_of = {
        "IndexName": "by_of",
        "KeySchema": [{"AttributeName": "of", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": key, "AttributeType": kind}
            for key, kind in {**kinds, "of": "S"}.items()
        ],
        "KeySchema": keys,
        "GlobalSecondaryIndexes": [by_of],
    }


def ask(
    application: Any,
    operation: str,
    given: Given | bytes,
    *,
    target: str = "/",
    method: str = "POST",
    region: str = REGION,
    **more: str,
) -> Response:
    body = given if isinstance(given, bytes) else json.dumps(given).encode()
    scope = f"functionPredict/20260101/{region}/dynamodb/aws4_request"
    headers = {
        "Host": "127.0.0.1:4566",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    } | {name.replace("_", "-"): value for name, value in more.items()}
    request = Request(method, target, [*headers.items()], "127.0.0.1", body)
    return call(application, environ_of(request, 4566))


def same(response: Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """A response without the identifier that each has of its own."""
    headers = [
        (name, "" if name.lower() == "x-amzn-requestid" else value)
        for name, value in response.headers
    ]
    return response.status, response.body, headers


def batch(**tables: Given) -> Given:
    return {"RequestItems": tables}


QUICK: list[tuple[str, Given]] = [
    ("GetItem", {"TableName": TABLE, "Key": KEY}),
    ("GetItem", {"TableName": TABLE, "Key": KEY, "ConsistentRead": True, "Unknown": 1}),
    ("GetItem", {"TableName": TABLE, "Key": KEY, "ReturnConsumedCapacity": "TOTAL"}),
    ("GetItem", {"TableName": TABLE, "Key": {"id": {"S": "no"}, "n": {"N": "1"}}}),
    ("GetItem", {"TableName": FLAT, "Key": {"id": {"S": "a"}}}),
    (
        "GetItem",
        {
            "TableName": FLAT,
            "Key": {"id": {"S": "a"}},
            "ProjectionExpression": "#t, list[1].deep, bytes",
            "ExpressionAttributeNames": {"#t": "text"},
        },
    ),
    ("GetItem", {"TableName": FLAT, "Key": {"id": {"S": "a"}}, "AttributesToGet": ["text"]}),
    ("BatchGetItem", batch(**{TABLE: BATCH})),
    ("BatchGetItem", batch(**{TABLE: BATCH, FLAT: {"Keys": [{"id": {"S": "a"}}]}})),
    ("BatchGetItem", batch(**{TABLE: BATCH | {"AttributesToGet": ["text", "blobs"]}})),
    (
        "BatchGetItem",
        batch(
            **{
                TABLE: BATCH
                | {
                    "ProjectionExpression": "#t, bytes",
                    "ExpressionAttributeNames": {"#t": "text"},
                    "ConsistentRead": True,
                }
            }
        )
        | {"ReturnConsumedCapacity": "INDEXES"},
    ),
    ("Query", QUERY),
    ("Query", QUERY | {"Limit": 2, "ScanIndexForward": False, "ConsistentRead": True}),
    ("Query", QUERY | {"Limit": 2, "ExclusiveStartKey": KEY, "ProjectionExpression": "n"}),
    ("Query", QUERY | {"Select": "COUNT", "ReturnConsumedCapacity": "TOTAL"}),
    (
        "Query",
        QUERY
        | {
            "KeyConditionExpression": "#i = :i AND n BETWEEN :a AND :b",
            "FilterExpression": "truth = :no",
            "ExpressionAttributeValues": {
                ":i": {"S": "a"},
                ":a": {"N": "1"},
                ":b": {"N": "4"},
                ":no": {"BOOL": False},
            },
        },
    ),
    (
        "Query",
        QUERY
        | {
            "IndexName": "by_of",
            "ExpressionAttributeNames": {"#i": "of"},
            "ExpressionAttributeValues": {":i": {"S": "o1"}},
        },
    ),
]

REFUSED: list[tuple[str, Given | bytes]] = [
    ("GetItem", {"TableName": "none", "Key": KEY}),
    ("GetItem", {"TableName": TABLE, "Key": {"id": {"S": "a"}}}),
    ("GetItem", {"TableName": TABLE, "Key": {"id": {"S": ""}, "n": {"N": "1"}}}),
    ("GetItem", {"TableName": TABLE, "Key": KEY, "ReturnConsumedCapacity": "ALL"}),
    ("GetItem", {"TableName": TABLE, "Key": KEY, "ProjectionExpression": "name"}),
    ("BatchGetItem", batch(none=BATCH)),
    ("BatchGetItem", batch(**{TABLE: {"Keys": [KEY, KEY]}})),
    ("BatchGetItem", batch(**{FLAT: {"Keys": [{"id": {"S": str(n)}} for n in range(101)]}})),
    ("Query", QUERY | {"IndexName": "none"}),
    ("Query", QUERY | {"ExpressionAttributeValues": {}}),
    ("Query", QUERY | {"KeyConditionExpression": "#i < :i"}),
]


@pytest.mark.parametrize(("operation", "given"), QUICK)
def test_a_read_by_key_gets_the_framework_s_response_without_the_framework(
    services: Services, operation: str, given: Given
) -> None:
    expected = same(ask(services, operation, given))
    assert expected[0] == 200
    before = services.calls
    assert same(ask(QuickReads(services), operation, given)) == expected
    assert services.calls == before


@pytest.mark.parametrize(("operation", "given"), REFUSED)
def test_a_refused_read_is_answered_by_the_framework(
    services: Services, operation: str, given: Given
) -> None:
    expected = same(ask(services, operation, given))
    assert expected[0] == 400
    before = services.calls
    assert same(ask(QuickReads(services), operation, given)) == expected
    assert services.calls == before + 1


@pytest.mark.parametrize(
    "more",
    [
        {"X_Moto_Account_Id": "210987654321"},
        {"Host": "dynamodb.eu-west-1.amazonaws.com"},
        {"Content_Type": "application/x-amz-json-1.0; charset=utf-8"},
        {"Origin": "http://localhost:3000"},
        {"target": "/?Action=GetItem"},
        {"target": "/elsewhere"},
        {"Authorization": "AWS Credential=x/20260101/us-east-1/dynamodb/aws4_request"},
        {"method": "PUT"},
    ],
)
def test_a_call_that_is_not_plain_goes_to_the_framework(
    services: Services, more: dict[str, str]
) -> None:
    given = {"TableName": TABLE, "Key": KEY}
    expected = same(ask(services, "GetItem", given, **more))
    before = services.calls
    assert same(ask(QuickReads(services), "GetItem", given, **more)) == expected
    assert services.calls == before + 1


def test_bodies_that_moto_reads_otherwise_go_to_the_framework(services: Services) -> None:
    plain = json.dumps({"TableName": TABLE, "Key": KEY}).encode()
    for body, more in [
        (plain[:-1] + b', "Unknown": "&Action=Query&"}', {}),
        (gzip.compress(plain), {"Content_Encoding": "gzip"}),
    ]:
        expected = same(ask(services, "GetItem", body, **more))
        before = services.calls
        assert same(ask(QuickReads(services), "GetItem", body, **more)) == expected
        assert services.calls == before + 1


def test_a_read_sees_its_own_region(services: Services) -> None:
    ask(services, "CreateTable", table(FLAT, {"id": "S"}), region="eu-west-1")
    given = {"TableName": FLAT, "Key": {"id": {"S": "a"}}}
    for more in ({"region": "eu-west-1"}, {"User_Agent": "x region/eu-west-1"}):
        expected = same(ask(services, "GetItem", given, **more))
        assert expected[1] == b"{}"
        assert same(ask(QuickReads(services), "GetItem", given, **more)) == expected
    ask(services, "DeleteTable", {"TableName": FLAT}, region="eu-west-1")


def test_faults_and_strictness_come_before_reads(services: Services) -> None:
    calls = CallRates(errors=0.2, throttles=0.2, lost_replies=0.2)

    def responses(application: Any) -> list[Any]:
        faulty = FaultyCalls(
            StrictCalls(application), Faults(FaultPlan(seed=7, calls={"dynamodb": calls}))
        )
        found: list[Any] = []
        for operation, given in QUICK * 2:
            try:
                found.append(same(ask(faulty, operation, given)))
            except Hangup:
                found.append("lost")
        return found

    expected = responses(services)
    assert {one if one == "lost" else one[0] for one in expected} == {200, 400, 500, "lost"}
    assert responses(QuickReads(services)) == expected
