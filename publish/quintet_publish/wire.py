"""Counts the parts of a protobuf message from its bytes, before anything is parsed. Pure.

A parsed message takes a hundred bytes and more, an empty one two bytes in the file: 200 MB of
them would be 10 GB. Numbers, which tree ensembles have by the million, are skipped in runs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

__all__ = ["count_parts"]

# https://protobuf.dev/programming-guides/encoding/#structure
VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
NUMBERS = {VARINT: rb"[\x80-\xff]{0,9}[\x00-\x7f]", FIXED64: rb".{8}", FIXED32: rb".{4}"}
VARINT_BYTES = 10


def count_parts(content: bytes, descriptor: Any, most: int) -> int:
    """Count a message's nested messages, texts and byte strings, at every level.

    `descriptor` is the message's. The count stops once it exceeds `most`. For bytes that
    are not protobuf it counts what can be read: the parser refuses them.
    """
    count = 0
    waiting = [(0, len(content), descriptor)]
    while waiting:
        at, end, message = waiting.pop()
        nested = _nested(message)
        while at < end:
            # most tags and sizes have one byte: they need no call
            tag, start = content[at], at + 1
            if tag >= 0x80:
                tag, start = _varint(content, at)
            wire = tag & 7
            if wire == BYTES:
                size = content[start] if start < end else 0
                start += 1
                if size >= 0x80:
                    size, start = _varint(content, start - 1)
                count += 1
                if count > most:
                    return count
                inner = nested.get(tag >> 3)
                if inner is not None and size:
                    waiting.append((start, min(start + size, end), inner))
                at = start + size
            elif wire in NUMBERS:
                run = _run(content[at:start], wire).match(content, at, end)
                at = run.end() if run else end  # truncated
            elif wire in (GROUP, END_GROUP):
                at = start  # an unknown field: its content counts as the message's
            else:
                break
    return count


@lru_cache(maxsize=64)
def _nested(message: Any) -> dict[int, Any]:
    """Return the fields of a message that hold messages, by number."""
    return {f.number: f.message_type for f in message.fields if f.message_type is not None}


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    number = shift = 0
    for position in range(at, min(at + VARINT_BYTES, len(content))):
        byte = content[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + 1
        shift += 7
    return number, len(content)


@lru_cache(maxsize=256)
def _run(tag: bytes, wire: int) -> re.Pattern[bytes]:
    """Return a pattern for consecutive numbers of one field."""
    return re.compile(rb"(?:%s%s)+" % (re.escape(tag), NUMBERS[wire]), re.DOTALL)
