"""A unit of a map: fails at first when it is odd, always when it is poison."""

from __future__ import annotations

import os
from typing import Any

import boto3

dynamodb = boto3.client("dynamodb")


class Flaky(Exception): ...


class Poison(Exception): ...


def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    unit = event["unit"]
    if event.get("poison"):
        raise Poison(str(unit))
    answer = dynamodb.update_item(
        TableName=os.environ["TABLE"],
        Key={"id": {"S": f"{event['run']}-{unit}"}},
        UpdateExpression="ADD tries :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="ALL_NEW",
    )
    tries = int(answer["Attributes"]["tries"]["N"])
    if unit % 2 and tries == 1:
        raise Flaky(str(unit))
    return {"unit": unit, "tries": tries}
