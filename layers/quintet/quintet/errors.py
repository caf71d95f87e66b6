"""The error classes of Quintet, and nothing else.

One table in each function maps a class to its outcome: `BadInput` and its
subclasses are the caller's (4xx, acknowledged, never retried), `ModelFailure` is
the model's (424, never retried), `Transient` is the world's (503, retried).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BadInput",
    "Conflict",
    "Forbidden",
    "ModelFailure",
    "NotFound",
    "QuintetError",
    "Refusal",
    "TooLarge",
    "Transient",
    "Unprocessable",
    "UnsupportedMedia",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one value was refused: the field, what was expected and what came.

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
    """Anything Quintet raises on purpose. Its text is safe to show to a caller."""


class BadInput(QuintetError):
    """The caller's fault: names the fields. Never retried."""

    #: how many refusals a message names before it only counts the rest
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
    """The API authenticates callers, and did not identify this one (403)."""


class NotFound(BadInput):
    """The named model, version, job or run does not exist (404)."""


class TooLarge(BadInput):
    """The body or the batch is over a stated limit (413)."""


class UnsupportedMedia(BadInput):
    """The content type or encoding is not one that this route reads (415)."""


class Conflict(BadInput):
    """The request contradicts stored state, such as other content under one version (409)."""


class Unprocessable(BadInput):
    """The request is well formed, but is not what an earlier one of its name was (422)."""


class ModelFailure(QuintetError):
    """The model raised, or gave an output that is not finite or not of its contract (424)."""


class Transient(QuintetError):
    """Something the caller may try again: a store, a queue or a network that failed (503)."""
