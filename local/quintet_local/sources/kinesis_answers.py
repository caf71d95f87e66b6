"""Reads a function's response to a batch of a stream.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Verdict", "verdict"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call; `error` is a function error."""

    payload: bytes
    error: bool = False
    version: str = "$LATEST"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of a response.

    `failed` is the index of the first failed record, or None; `whole` means that the call failed,
    not a record; `state` None leaves the state unchanged.
    """

    failed: int | None
    whole: bool = False
    state: Any = None


_FAILED = Verdict(0, whole=True)


def verdict(answer: Answer, names: Sequence[str], *, partial: bool, windowed: bool) -> Verdict:
    """Return the verdict on a response to a batch with these sequence numbers."""
    if answer.error:
        return _FAILED
    try:
        body = json.loads(answer.payload or b"null")
    except ValueError:
        body = ()  # not JSON: in none of the known forms
    state = body.get("state") if windowed and isinstance(body, dict) else None
    if windowed and not isinstance(state, dict):
        return _FAILED
    failed = _first_failure(body, names) if partial else None
    return _FAILED if failed == MALFORMED else Verdict(failed, state=state)


MALFORMED = -1


def _first_failure(body: Any, names: Sequence[str]) -> int | None:
    """Return the index of the lowest reported failure, or None."""
    if body in (None, "", [], {}):
        return None
    items = body.get("batchItemFailures") if isinstance(body, dict) else MALFORMED
    if items in (None, []):
        return None
    if not isinstance(items, list):
        return MALFORMED
    index = {name: number for number, name in enumerate(names)}
    found = [index.get(_identifier(item), MALFORMED) for item in items]
    return min(found)


def _identifier(item: Any) -> str:
    name = item.get("itemIdentifier") if isinstance(item, dict) else None
    return name if isinstance(name, str) else ""
