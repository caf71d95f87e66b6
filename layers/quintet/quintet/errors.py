"""The error classes of Quintet.

One table in each function maps a class to its outcome: `BadInput` and its
subclasses are errors of the caller (4xx, acknowledged, never retried), `ModelFailure` is
an error of the model (424, never retried), `Transient` is a passing failure (503, retried).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import NoneType
from typing import NamedTuple

__all__ = [
    "BadInput",
    "Conflict",
    "Forbidden",
    "MethodNotAllowed",
    "ModelFailure",
    "NoSuchRoute",
    "NotFound",
    "QuintetError",
    "Refusal",
    "TooLarge",
    "Transient",
    "Unprocessable",
    "UnsupportedMedia",
    "check_event",
    "json_kind",
    "shown",
]

#: how many characters of a refused value a message shows
SHOWN = 60

_JSON_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    NoneType: "null",
}

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=repr)


def json_kind(value: object) -> str:
    """The type of a value as JSON calls it, with its article: "a number", "an array", "null"."""
    return _JSON_KINDS.get(type(value)) or f"a {type(value).__name__}"


def shown(value: object) -> str:
    """A value for a message, of at most some 60 characters: as JSON, but text in single quotes."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}...")
    if value is None or isinstance(value, bool | dict | list):
        text = ""
        for piece in _ENCODER.iterencode(value):  # no further: a value may have any size and depth
            text += piece
            if len(text) > SHOWN:
                break
    else:
        text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Refusal(NamedTuple):
    """Why one value was refused: the field, the expected value and the received one.

    `row` is the zero-based position in the batch, None when the request as a whole
    is refused.
    """

    row: int | None
    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = self.field if self.row is None else f"row {self.row}: {self.field}"
        return f"{where}: expected {self.expected}, got {self.got}"


class QuintetError(Exception):
    """Base of all errors that Quintet raises on purpose. The text is safe to show to callers."""


class BadInput(QuintetError):
    """The caller's request is invalid; the error names the fields. Never retried."""

    #: how many refusals a message names; it counts the others
    SHOWN = 10

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        if not self.refusals:
            raise ValueError("BadInput needs at least one refusal")
        shown = "; ".join(str(refusal) for refusal in self.refusals[: self.SHOWN])
        more = len(self.refusals) - self.SHOWN
        super().__init__(f"{shown}; and {more} more" if more > 0 else shown)

    @classmethod
    def of(cls, field: str, expected: str, got: str, row: int | None = None) -> BadInput:
        """The refusal of a single value."""
        return cls([Refusal(row, field, expected, got)])


class Forbidden(BadInput):
    """The API authenticates callers but did not identify this one (403)."""


class NotFound(BadInput):
    """The named model, version, job or run does not exist (404)."""


class NoSuchRoute(NotFound):
    """The API has no such path (404)."""


class MethodNotAllowed(BadInput):
    """The path does not have this method (405)."""


class TooLarge(BadInput):
    """The body or the batch exceeds a stated limit (413)."""


class UnsupportedMedia(BadInput):
    """This route does not support the content type or encoding (415)."""


class Conflict(BadInput):
    """The request conflicts with stored state, such as other content under a version (409)."""


class Unprocessable(BadInput):
    """The request is well formed but differs from an earlier request with its key (422)."""


class ModelFailure(QuintetError):
    """The model raised, or its output is not finite or does not match its contract (424)."""


class Transient(QuintetError):
    """A failure of a store, a queue or the network; the caller may retry (503).

    `retry_after` is in seconds: clients may retry then.
    """

    def __init__(self, text: str, *, retry_after: int = 1) -> None:
        super().__init__(text)
        self.retry_after = retry_after


def check_event(event: object, source: str, *fields: str) -> None:
    """Check that a function's event is of its source and has its fields.

    Raises:
        BadInput: it is of another source, such as an invocation by hand without a payload.
    """
    if not isinstance(event, dict) or any(name not in event for name in fields):
        names = ", ".join(fields)
        raise BadInput.of("event", f"{source} with {names}; see events/", shown(event))
