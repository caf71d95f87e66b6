"""What a call needs, and whether a role allows it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.kits.aws import ROOT

from quintet_local.needs import Need, needs
from quintet_local.permissions import Permissions, access_key, allows, policies
from quintet_local.plan import plan
from quintet_local.template import load

ACCOUNT = "us-east-1:123456789012"


def request(
    method: str = "POST", path: str = "/", target: str = "", body: Any = b"", key: str = "test"
) -> dict[str, Any]:
    """A request as the front hands it on."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    path, _, query = path.partition("?")
    service = target.partition(":")[0] or "s3"
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_X_AMZ_TARGET": target.partition(":")[2],
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}"
        "/aws4_request, SignedHeaders=host, Signature=0",
        "wsgi.input": io.BytesIO(content),
    }


def table(name: str) -> str:
    return f"arn:aws:dynamodb:{ACCOUNT}:table/{name}"


CALLS: dict[str, tuple[str, dict[str, Any], list[Need]]] = {
    "an item": (
        "dynamodb",
        request(target="dynamodb:DynamoDB_20120810.GetItem", body={"TableName": "a"}),
        [Need("dynamodb:GetItem", table("a"))],
    ),
    "an index": (
        "dynamodb",
        request(target="dynamodb:D.Query", body={"TableName": "a", "IndexName": "by"}),
        [Need("dynamodb:Query", table("a/index/by"))],
    ),
    "many tables": (
        "dynamodb",
        request(target="dynamodb:D.BatchGetItem", body={"RequestItems": {"a": {}, "b": {}}}),
        [Need("dynamodb:BatchGetItem", table("a")), Need("dynamodb:BatchGetItem", table("b"))],
    ),
    "a transaction": (
        "dynamodb",
        request(
            target="dynamodb:D.TransactWriteItems",
            body={
                "TransactItems": [
                    {"Put": {"TableName": "a"}},
                    {"Update": {"TableName": "a"}},
                    {"ConditionCheck": {"TableName": "b"}},
                ]
            },
        ),
        [
            Need("dynamodb:PutItem", table("a")),
            Need("dynamodb:UpdateItem", table("a")),
            Need("dynamodb:ConditionCheckItem", table("b")),
        ],
    ),
    "messages": (
        "sqs",
        request(target="sqs:AmazonSQS.SendMessageBatch", body={"QueueUrl": "http://x/1/jobs"}),
        [Need("sqs:SendMessage", f"arn:aws:sqs:{ACCOUNT}:jobs")],
    ),
    "a notice": (
        "sns",
        request(body=b"Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A1%3Ato&Message=a"),
        [Need("sns:Publish", "arn:aws:sns:us-east-1:1:to")],
    ),
    "a run": (
        "states",
        request(target="states:AWSStepFunctions.StartExecution", body={"stateMachineArn": "m"}),
        [Need("states:StartExecution", "m")],
    ),
    "a data key": (
        "kms",
        request(target="kms:TrentService.GenerateDataKey", body={"KeyId": "k-1"}),
        [Need("kms:GenerateDataKey", f"arn:aws:kms:{ACCOUNT}:key/k-1")],
    ),
    "a data key of an ARN": (
        "kms",
        request(target="kms:TrentService.Decrypt", body={"KeyId": "arn:aws:kms:e:1:key/k"}),
        [Need("kms:Decrypt", "arn:aws:kms:e:1:key/k")],
    ),
    "a table of Glue": (
        "glue",
        request(
            target="glue:AWSGlue.CreateTable",
            body={"DatabaseName": "d", "TableInput": {"Name": "t"}},
        ),
        [
            Need("glue:CreateTable", f"arn:aws:glue:{ACCOUNT}:{on}")
            for on in ("catalog", "database/d", "table/d/t")
        ],
    ),
    "an object": ("s3", request("GET", "/b/a/c"), [Need("s3:GetObject", "arn:aws:s3:::b/a/c")]),
    "a version": (
        "s3",
        request("GET", "/b/c?versionId=1"),
        [Need("s3:GetObjectVersion", "arn:aws:s3:::b/c")],
    ),
    "a part": (
        "s3",
        request("PUT", "/b/c?partNumber=1&uploadId=2"),
        [Need("s3:PutObject", "arn:aws:s3:::b/c")],
    ),
    "a listing": (
        "s3",
        request("GET", "/b?list-type=2&prefix=runs%2F"),
        [Need("s3:ListBucket", "arn:aws:s3:::b", (("s3:prefix", "runs/"),))],
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_needs_its_action_on_its_resource(name: str) -> None:
    service, environ, wanted = CALLS[name]
    body = environ["wsgi.input"].getvalue()
    assert needs(service, environ) == wanted
    assert environ["wsgi.input"].read() == body  # whole, for the service


def test_what_is_not_known_needs_nothing_that_could_be_checked() -> None:
    assert needs("logs", request(target="logs:Logs.PutLogEvents", body={})) is None
    assert needs("dynamodb", request(target="dynamodb:D.GetItem", body=b"{")) is None


NEED = Need("s3:ListBucket", "arn:aws:s3:::b", (("s3:prefix", "runs/a"),))


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "s3:ListBucket", "Resource": NEED.resource, **more}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([statement()], True),
        ([statement(Action=["s3:GetObject", "S3:list*"])], True),
        ([statement(Action="s3:GetObject")], False),
        ([statement(Resource=["arn:aws:s3:::c", "arn:aws:s3:::?"])], True),
        ([statement(Resource="arn:aws:s3:::b/*")], False),
        ([statement(Condition={"StringLike": {"s3:prefix": ["x/*", "runs/*"]}})], True),
        ([statement(Condition={"StringLike": {"s3:prefix": "tables/*"}})], False),
        ([statement(), statement("Deny")], False),
    ],
)
def test_a_need_is_allowed_by_a_statement_and_denied_by_none(
    statements: list[dict[str, Any]], allowed: bool
) -> None:
    assert allows(statements, NEED) is allowed


# ---- over the template's own roles -----------------------------------------------------------

ALLOWED = policies(plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566"))


def test_what_a_role_does_not_allow_is_told_once_and_passes() -> None:
    def put(key: str) -> dict[str, Any]:
        body = {"TableName": "quintet-local-ScoresTable"}
        return request(target="dynamodb:D.PutItem", body=body, key=key)

    served: list[Any] = []

    def service(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        served.append(environ)
        return [b"the service"]

    permissions = Permissions(service, ALLOWED)
    calls = [put(access_key("ScoreStream")), put("test"), *[put(access_key("GetScores"))] * 2]
    for call in calls:
        assert permissions(call, lambda *_: None) == [b"the service"]
    assert served == calls
    table_arn = table("quintet-local-ScoresTable")
    assert permissions.refused() == [f"GetScores: dynamodb:PutItem on {table_arn}"]


def test_a_link_is_a_call_of_the_role_that_signed_it() -> None:
    credential = f"X-Amz-Credential={access_key('Runs')}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    bucket = "quintet-local-scoresbucket"
    permissions = Permissions(lambda *_: [b"the service"], ALLOWED)
    for key in ("runs/a", "secrets/a"):
        link = request("GET", f"/{bucket}/{key}?X-Amz-Expires=900&{credential}")
        del link["HTTP_AUTHORIZATION"]
        assert permissions(link, lambda *_: None) == [b"the service"]
    assert permissions.refused() == [f"Runs: s3:GetObject on arn:aws:s3:::{bucket}/secrets/a"]


def test_a_keys_policy_allows_the_roles_that_it_names() -> None:
    planned = plan(load(ROOT / "template.yaml", {"SealedCaptures": "on"}), "http://127.0.0.1:4566")
    allowed = policies(planned)
    key = planned.identities["CaptureKey"].attributes["Arn"]

    def who(operation: str, on: str = key) -> set[str]:
        need = Need(f"kms:{operation}", on)
        return {name for name, some in allowed.items() if allows(some, need)}

    sealing = {access_key(name) for name in ("Predict", "Work", "ScoreStream")}
    assert who("GenerateDataKey") == sealing
    assert who("Decrypt") == {access_key("Compare")}
    assert who("Encrypt") == who("Decrypt", f"{key}0") == set()
