"""Items are deleted some time after their time to live has passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from quintet_local.expiry import OLDEST, expire

NOW = 1_800_000_000


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("quintet_local.expiry.ACCOUNT", "123456789012")
    with mock_aws():
        yield boto3.client(
            "dynamodb",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


def made(dynamodb: Any, name: str, *keys: str, ttl: bool = True) -> None:
    """A table with a key of one or two texts; its items may expire."""
    kinds = ("HASH", "RANGE")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[
            {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, kinds, strict=False)
        ],
    )
    if ttl:
        given = {"AttributeName": "expires", "Enabled": True}
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=given)


def put(dynamodb: Any, table: str, expires: Any = None, **keys: str) -> None:
    item = {name: {"S": value} for name, value in keys.items()}
    if expires is not None:
        item["expires"] = expires
    dynamodb.put_item(TableName=table, Item=item)


def left(dynamodb: Any, table: str) -> list[tuple[str, ...]]:
    found = dynamodb.scan(TableName=table)["Items"]
    return sorted(tuple(item[key]["S"] for key in ("id", "at") if key in item) for item in found)


def number(value: float) -> dict[str, str]:
    return {"N": str(value)}


def test_what_has_expired_is_deleted_and_nothing_else(dynamodb: Any) -> None:
    made(dynamodb, "single", "id")
    put(dynamodb, "single", number(NOW), id="just now")
    put(dynamodb, "single", number(NOW - 86_400.5), id="yesterday")
    put(dynamodb, "single", number(NOW + 1), id="soon")
    put(dynamodb, "single", number(NOW - OLDEST), id="a mistake")
    put(dynamodb, "single", {"S": "1"}, id="a text")
    put(dynamodb, "single", id="for ever")
    assert expire(NOW) == 2
    kept = [("a mistake",), ("a text",), ("for ever",), ("soon",)]
    assert left(dynamodb, "single") == kept
    assert (expire(NOW), left(dynamodb, "single")) == (0, kept)


def test_items_with_two_keys_expire_one_by_one(dynamodb: Any) -> None:
    made(dynamodb, "double", "id", "at")
    put(dynamodb, "double", number(NOW - 1), id="a", at="1")
    put(dynamodb, "double", number(NOW + 1), id="a", at="2")
    put(dynamodb, "double", number(NOW - 1), id="b", at="1")
    assert expire(NOW) == 2
    assert left(dynamodb, "double") == [("a", "2")]


def test_a_table_without_a_time_to_live_keeps_all(dynamodb: Any) -> None:
    made(dynamodb, "plain", "id", ttl=False)
    put(dynamodb, "plain", number(NOW - 1), id="old")
    assert (expire(NOW), left(dynamodb, "plain")) == (0, [("old",)])
