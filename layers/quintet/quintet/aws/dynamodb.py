"""DynamoDB's JSON protocol: calls, conditions, pages, and attribute values to and from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.responses import CONDITION_FAILED, cancellation_codes, error_name
from quintet.errors import QuintetError, Transient

__all__ = ["ConditionFailed", "dynamodb_call"]

_READS = frozenset({"BatchGetItem", "DescribeTable", "GetItem", "Query", "Scan"})


class ConditionFailed(QuintetError):
    """A conditional write found another state than it asked for.

    `writes` are the places, in a transaction, of those whose conditions do not hold.
    """

    def __init__(self, text: str, writes: Sequence[int] = ()) -> None:
        super().__init__(text)
        self.writes = tuple(writes)


def dynamodb_call(
    client: AwsClient, operation: str, payload: Mapping[str, Any], *, idempotent: bool | None = None
) -> dict[str, Any]:
    """Call a DynamoDB operation; reads are idempotent by default.

    Raises:
        ConditionFailed: the write's condition does not hold.
        Transient: DynamoDB could not be reached, or refused the call.
    """
    again = operation in _READS if idempotent is None else idempotent
    response = client.call(f"DynamoDB_20120810.{operation}", payload, idempotent=again)
    if response.status == 200:
        answer: dict[str, Any] = json.loads(response.body)
        return answer
    codes, kind = cancellation_codes(response), error_name(response)
    if CONDITION_FAILED in codes or kind == "ConditionalCheckFailedException":
        writes = [place for place, code in enumerate(codes) if code == CONDITION_FAILED]
        raise ConditionFailed(f"{operation}: the condition does not hold", writes)
    # the service's own message may hold ARNs: only its error's name is passed on
    raise Transient(f"dynamodb refused {operation} ({kind or f'status {response.status}'})")
