"""Calls that AWS refuses for their size or count, and moto does not: `quintet up --strict`.

moto itself limits queue messages, the state of executions, and the number of items in a
transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from math import ceil
from threading import Lock
from typing import Any

__all__ = ["Ramp", "StrictCalls", "item_bytes"]

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
ITEM_BYTES = 400 * 1024
TRANSACTION_BYTES = 4 * 1024 * 1024
BATCH_ITEMS, BATCH_BYTES = 25, 16 * 1024 * 1024
#: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
INPUT_BYTES = 256 * 1024
#: write units a second of a new on-demand table
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
WRITE_UNITS = 4000
UNIT_BYTES = 1024

_DYNAMODB = "com.amazon.coral.validate#ValidationException"
_THROTTLED = "com.amazonaws.dynamodb.v20120810#ThrottlingException"

#: table, the item's bytes
Write = tuple[str, int]


class Ramp:
    """The write throughput of new tables: units used in each second, by table."""

    def __init__(
        self, units: int = WRITE_UNITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._units = units
        self._clock = clock
        self._used: dict[str, tuple[int, int]] = {}
        self._lock = Lock()

    def take(self, table: str, units: int) -> bool:
        """Use this many units of the table in the current second; False if too few remain."""
        second = int(self._clock())
        with self._lock:
            of, used = self._used.get(table, (second, 0))
            used = used if of == second else 0
            if used + units > self._units:
                return False
            self._used[table] = (second, used + units)
            return True


class StrictCalls:
    """A WSGI application before the services; `ramp` throttles writes to tables."""

    def __init__(self, services: Application, ramp: Ramp | None = None) -> None:
        self._services = services
        self._ramp = ramp

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
        refusal = None
        if service.startswith("DynamoDB") and operation in _WRITES:
            refusal = self._refused_write(operation, _payload(environ))
        elif service == "AWSStepFunctions" and operation == "StartExecution":
            size = len(_payload(environ).get("input", "").encode())
            if size > INPUT_BYTES:
                refusal = ("InvalidExecutionInput", f"input of {size:,} bytes, at most 256 KiB")
        if refusal is None:
            return self._services(environ, start_response)
        body = json.dumps({"__type": refusal[0], "message": refusal[1]}).encode()
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        start_response(f"400 {HTTPStatus.BAD_REQUEST.phrase}", headers)
        return [body]

    def _refused_write(self, operation: str, payload: dict[str, Any]) -> tuple[str, str] | None:
        writes = list(_WRITES[operation](payload))
        for table, size in writes:
            if size > ITEM_BYTES:
                return _DYNAMODB, f"Item size has exceeded the maximum allowed size ({table})"
        total = sum(size for _, size in writes)
        if operation == "TransactWriteItems" and total > TRANSACTION_BYTES:
            return _DYNAMODB, f"a transaction of {total:,} bytes, at most 4 MiB"
        if operation == "BatchWriteItem" and (len(writes) > BATCH_ITEMS or total > BATCH_BYTES):
            return _DYNAMODB, f"a batch of {len(writes)} items and {total:,} bytes"
        if self._ramp is not None:
            twice = 2 if operation == "TransactWriteItems" else 1
            for table, size in writes:
                if not self._ramp.take(table, twice * max(1, ceil(size / UNIT_BYTES))):
                    return _THROTTLED, f"{table} is new and takes {WRITE_UNITS:,} writes a second"
        return None


def item_bytes(item: dict[str, Any]) -> int:
    """Return an item's approximate size as DynamoDB counts it: names and values in UTF-8.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    return _SIZES[kind](content)


#: the size of a value of each type
_SIZES: dict[str, Callable[[Any], int]] = {
    "S": lambda text: len(text.encode()),
    "N": lambda digits: len(digits) // 2 + 1,
    "B": lambda base64: len(base64) * 3 // 4,
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "M": lambda fields: 3 + item_bytes(fields) + len(fields),
    "L": lambda values: 3 + sum(_value_bytes(one) + 1 for one in values),
    **dict.fromkeys(("SS", "NS", "BS"), lambda texts: sum(len(one.encode()) for one in texts)),
}


def _one(payload: dict[str, Any]) -> Iterator[Write]:
    found = payload.get("Item") or {
        **payload.get("Key", {}),
        **payload.get("ExpressionAttributeValues", {}),
    }
    yield payload["TableName"], item_bytes(found)


def _batch(payload: dict[str, Any]) -> Iterator[Write]:
    for table, requests in payload["RequestItems"].items():
        for request in requests:
            put = request.get("PutRequest", {}).get("Item")
            yield table, item_bytes(put or request["DeleteRequest"]["Key"])


def _transaction(payload: dict[str, Any]) -> Iterator[Write]:
    for action in payload["TransactItems"]:
        (part,) = action.values()
        yield from _one(part)


#: each write operation's tables, and the approximate sizes of its items
_WRITES: dict[str, Callable[[dict[str, Any]], Iterator[Write]]] = {
    "BatchWriteItem": _batch,
    "DeleteItem": _one,
    "PutItem": _one,
    "TransactWriteItems": _transaction,
    "UpdateItem": _one,
}


def _payload(environ: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(environ["wsgi.input"].getbuffer()))
    return found
