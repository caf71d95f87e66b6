"""HTTP responses of AWS's services, and the errors that the JSON protocols name in them."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

__all__ = [
    "CONDITION_FAILED",
    "AwsResponse",
    "cancellation_codes",
    "error_code",
    "error_name",
    "may_be_sent_again",
]

CONDITION_FAILED = "ConditionalCheckFailed"
_CODE = rb"<Code>([\w.]+)</Code>"
_CANCELLED = "TransactionCanceledException"
# after these errors nothing was written, and a retry may succeed
_THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    }
)
#: cancellation reasons of transactions for which a retry may succeed
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class AwsResponse(NamedTuple):
    """An HTTP response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def error_name(response: AwsResponse) -> str:
    """The error's name in a JSON protocol's response, or an empty string."""
    try:
        kind = json.loads(response.body).get("__type", "")
    except (ValueError, AttributeError):
        return ""
    return str(kind).rpartition("#")[2]


def error_code(response: AwsResponse) -> str:
    """The error's name in an XML protocol's response; the status if the response has no body."""
    found = re.search(_CODE, response.body)
    return found[1].decode() if found else str(response.status)


def cancellation_codes(response: AwsResponse) -> list[str]:
    """The cancellation codes of a transaction, one per write; empty for other errors."""
    if error_name(response) != _CANCELLED:
        return []
    reasons = json.loads(response.body).get("CancellationReasons") or []
    return [str(reason.get("Code")) for reason in reasons]


def may_be_sent_again(response: AwsResponse) -> bool:
    """Whether the call had no effect because of throttling or a transaction conflict."""
    if response.status in (429, 503):
        return True
    if response.status != 400:
        return False
    codes = set(cancellation_codes(response))
    if codes:
        return CONDITION_FAILED not in codes and bool(codes & _PASSING)
    return error_name(response) in _THROTTLES
