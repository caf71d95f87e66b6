"""The local AWS's DynamoDB under calls at once: conditions hold, transactions are whole."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.kits.local_aws import LocalAws

CALLS = 200


@pytest.fixture
def table(local_aws: LocalAws) -> Iterator[str]:
    name = "tables-test"
    dynamodb = local_aws.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    yield name
    dynamodb.delete_table(TableName=name)


def items(local_aws: LocalAws, table: str) -> dict[str, Any]:
    pages = local_aws.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return {item["id"]["S"]: item for page in pages for item in page["Items"]}


def put(table: str, key: str, condition: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"TableName": table, "Item": {"id": {"S": key}}}
    return {"Put": made | ({"ConditionExpression": condition} if condition else {})}


def test_a_refused_transaction_leaves_no_trace_and_undoes_no_one_elses_write(
    local_aws: LocalAws, table: str
) -> None:
    dynamodb = local_aws.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={"id": {"S": "taken"}, "n": {"N": "1"}})
    add = {
        "TableName": table,
        "Key": {"id": {"S": "taken"}},
        "UpdateExpression": "SET n = :two",
        "ExpressionAttributeValues": {":two": {"N": "2"}},
    }

    def write(number: int) -> None:
        if number % 2:
            dynamodb.put_item(TableName=table, Item={"id": {"S": f"kept {number}"}})
            return
        refused = [
            put(table, f"undone {number}"),
            {"Update": add},
            put(table, "kept 1", "attribute_not_exists(id) AND attribute_exists(id)"),
        ]
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            dynamodb.transact_write_items(TransactItems=refused)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(CALLS)))
    found = items(local_aws, table)
    assert set(found) == {"taken", *(f"kept {n}" for n in range(1, CALLS, 2))}
    assert found["taken"]["n"] == {"N": "1"}


def test_one_of_many_conditional_writes_wins(local_aws: LocalAws, table: str) -> None:
    dynamodb = local_aws.client("dynamodb")

    def write(number: int) -> bool:
        try:
            dynamodb.transact_write_items(
                TransactItems=[
                    put(table, f"once {number // 8}", "attribute_not_exists(id)"),
                    put(table, f"by {number}"),
                ]
            )
        except dynamodb.exceptions.TransactionCanceledException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(CALLS)))
    winners = [number for number, one in enumerate(won) if one]
    assert [number // 8 for number in winners] == list(range(CALLS // 8))
    assert set(items(local_aws, table)) == {
        *(f"once {n}" for n in range(CALLS // 8)),
        *(f"by {number}" for number in winners),
    }


def test_queries_by_key_and_by_index_come_in_order_and_in_pages(local_aws: LocalAws) -> None:
    dynamodb, name = local_aws.client("dynamodb"), "queries-test"
    kinds = {"id": "S", "n": "N", "of": "S", "at": "S"}
    index = [("of", "HASH"), ("at", "RANGE")]
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": kind} for key, kind in kinds.items()
        ],
        KeySchema=schema([("id", "HASH"), ("n", "RANGE")]),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_of",
                "KeySchema": schema(index),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    for number in range(30):
        item = {"id": {"S": f"i{number % 3}"}, "n": {"N": str(number)}}
        if number % 2 == 0:
            item["of"] = {"S": "even"}
        if number % 4 != 1:  # what lacks one of its keys is not in the index, which is sparse
            item["at"] = {"S": f"{100 - number:03}"}
        dynamodb.put_item(TableName=name, Item=item)

    def found(of: str, value: str, more: str = "", **given: Any) -> list[int]:
        values = {":v": {"S": value}, **given.pop("values", {})}
        pages = dynamodb.get_paginator("query").paginate(
            TableName=name,
            KeyConditionExpression=f"#k = :v{more}",
            ExpressionAttributeNames={"#k": of},
            ExpressionAttributeValues=values,
            PaginationConfig={"PageSize": 4},
            **given,
        )
        return [int(item["n"]["N"]) for page in pages for item in page["Items"]]

    by_of: dict[str, Any] = {"IndexName": "by_of"}
    assert found("id", "i1") == list(range(1, 30, 3))
    assert found("id", "i1", ScanIndexForward=False) == list(range(28, 0, -3))
    assert found("id", "nobody") == []
    assert found("of", "even", **by_of) == list(range(28, -1, -2))
    assert found("of", "even", **by_of, ScanIndexForward=False) == list(range(0, 29, 2))
    before = {":at": {"S": "080"}}
    assert found("of", "even", " AND at < :at", values=before, **by_of) == [28, 26, 24, 22]
    assert found("of", "odd", **by_of) == []
    dynamodb.delete_table(TableName=name)


def schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys]


def test_items_of_every_kind_come_back_as_they_were_put(local_aws: LocalAws, table: str) -> None:
    dynamodb = local_aws.client("dynamodb")
    item: dict[str, Any] = {
        "id": {"S": "kinds"},
        "text": {"S": 'ä \u2028 "'},
        "number": {"N": "-1.5"},
        "bytes": {"B": b"\x00\xff\n"},
        "nothing": {"NULL": True},
        "truth": {"BOOL": False},
        "texts": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "2"]},
        "blobs": {"BS": [b"\x00", b"\x01"]},
        "list": {"L": [{"B": b"\xfe"}, {"M": {"deep": {"L": []}}}]},
    }
    dynamodb.put_item(TableName=table, Item=item)
    key = {"id": item["id"]}
    assert dynamodb.get_item(TableName=table, Key=key)["Item"] == item
    assert items(local_aws, table) == {"kinds": item}
    many = dynamodb.batch_get_item(RequestItems={table: {"Keys": [key]}})
    assert (many["Responses"], many["UnprocessedKeys"]) == ({table: [item]}, {})
    query = dynamodb.query(
        TableName=table,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": item["id"]},
        ReturnConsumedCapacity="TOTAL",
    )
    assert (query["Items"], query["Count"], query["ScannedCount"]) == ([item], 1, 1)
    assert query["ConsumedCapacity"]["TableName"] == table
    changed = dynamodb.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET #n = :n",
        ExpressionAttributeNames={"#n": "number"},
        ExpressionAttributeValues={":n": {"N": "2"}},
        ReturnValues="ALL_NEW",
    )
    assert changed["Attributes"] == item | {"number": {"N": "2"}}
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"id": {"S": "nobody"}})


FIELDS: dict[str, Any] = {
    "id": {"S": "one"},
    "number": {"N": "1.50"},
    "bytes": {"B": b"\x00\xff"},
    "map": {"M": {"v": {"N": "3"}, "t": {"NULL": True}}},
    "list": {"L": [{"S": "a"}, {"BOOL": False}]},
    "names": {"SS": ["a", "b"]},
}


def test_a_projection_has_the_fields_that_an_item_has(local_aws: LocalAws, table: str) -> None:
    dynamodb = local_aws.client("dynamodb")
    dynamodb.put_item(TableName=table, Item=FIELDS)
    wanted = ["number", "bytes", "map", "list", "names", "absent"]
    names = {f"#n{at}": name for at, name in enumerate(wanted)}
    asked = {
        "Keys": [{"id": {"S": "one"}}, {"id": {"S": "another"}}],
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
    }
    (found,) = dynamodb.batch_get_item(RequestItems={table: asked})["Responses"][table]
    assert found == {name: FIELDS[name] for name in wanted if name in FIELDS}


def test_a_projection_into_a_field_has_that_part(local_aws: LocalAws, table: str) -> None:
    dynamodb = local_aws.client("dynamodb")
    dynamodb.put_item(TableName=table, Item=FIELDS)
    asked = {"Key": {"id": {"S": "one"}}, "ExpressionAttributeNames": {"#m": "map"}}
    found = dynamodb.get_item(TableName=table, ProjectionExpression="#m.v", **asked)["Item"]
    assert found == {"map": {"M": {"v": {"N": "3"}}}}
