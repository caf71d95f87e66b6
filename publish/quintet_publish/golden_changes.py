"""What `golden_anew` finds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Anew", "OutputChange"]


@dataclass(frozen=True, slots=True)
class OutputChange:
    """How an output changes: in how many of the rows, and in the row that changes most.

    `apart` is the difference of two numbers. Without earlier outputs `row` is 0, `before` None.
    """

    output: str
    rows: int
    row: int
    before: str | None
    now: str
    apart: float | None


@dataclass(frozen=True, slots=True)
class Anew:
    """Golden rows, and what the graph gives for them.

    `content` is the new content of `file`; None if the expected outputs agree with the graph.
    `unread` says why there are no earlier outputs to compare with, `warning` why the new ones may
    not hold on another processor. `sources` are the SHA-256 of the files that were read.
    """

    file: str
    rows: int
    tolerance: float
    changes: tuple[OutputChange, ...]
    content: bytes | None
    unread: str
    sources: dict[str, str]
    warning: str = ""
