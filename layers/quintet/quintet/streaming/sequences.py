"""Sequence numbers of a stream's records."""

from __future__ import annotations

__all__ = ["padded"]

#: a sequence number has at most 56 digits
DIGITS = 56


def padded(sequence: str) -> str:
    """A sequence number as text that sorts like the number."""
    return sequence.zfill(DIGITS)
