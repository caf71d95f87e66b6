"""Strict JSON: text that two parsers could read differently is refused.

orjson itself refuses NaN, infinities, numbers that overflow to one (1e999), lone surrogates,
bytes that are not UTF-8 and more than 1,024 levels. It accepts two things that this module checks,
without parsing a usual body twice: a repeated key (it keeps the last) is refused, and an integer
beyond 64 bits stays the float that orjson makes of it if it is below 1e21. JavaScript writes floats
up to there without an exponent; a feature of integers refuses such a float.
"""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from itertools import chain
from typing import Any

import numpy as np
import orjson

from quintet.columns import suggestion
from quintet.errors import BadInput, json_kind, shown

__all__ = [
    "DIGITS_TO_ZERO",
    "LARGE",
    "LONG_NUMBER",
    "check",
    "check_integers",
    "count",
    "has_long_number",
    "members",
    "no_more_keys",
    "parse",
    "parse_all",
]

#: a text with its digits as zeros has `LONG_NUMBER` where an integer may be too long
DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_TOO_LARGE = 10**21  # from here on JavaScript writes an exponent
LONG_NUMBER = b"0" * len(str(_TOO_LARGE))
_SHIFTS = (1, 2, 4, 8, 6)
#: the types of values that hold others
_HOLDERS = {dict, list}
_COLON = ord(":")
#: bytes from which on numpy is quicker than methods of bytes
LARGE = 8_192
_TOGETHER = 64  # texts checked at once: joined, they stay in the processor's cache
_BEFORE_COLON = np.frombuffer(b'" \t\n\r', np.uint8)


def parse(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        BadInput: the text is not JSON, or not strictly so; the field is "body".
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput.of("body", "JSON in UTF-8 with finite numbers", str(error)) from None
    check(body, value)
    return value


def check(body: bytes, value: Any) -> None:
    """Check what orjson does not of a text whose value it has read.

    Raises:
        BadInput: the text is not strict JSON; the field is "body".
    """
    # a failed quick check is not an error yet: the slow check decides
    if LONG_NUMBER in body.translate(DIGITS_TO_ZERO) or not (
        _has_keys(value, body.count(b":")) or _keys_are_unique(body, value)
    ):
        _check_slowly(body)


def members(field: str, value: Any, known: Set[str] | None = None) -> dict[str, Any]:
    """The members of an object in a request, without those that are null: null means absent.

    This is the rule for every protocol. Clients that are generated from a schema send all optional
    members, as null. `known` None means that a client may send members of its own.

    Raises:
        BadInput: the value is not an object, or it has an unknown member.
    """
    if type(value) is not dict:
        raise BadInput.of(field, "an object", json_kind(value))
    if known is not None and not value.keys() <= known:
        unknown = min(value.keys() - known)
        got = shown(unknown) + suggestion(unknown, known)
        raise BadInput.of(field, f"keys of {', '.join(sorted(known))}", got)
    if None in value.values():
        return {name: member for name, member in value.items() if member is not None}
    return value


def parse_all(bodies: Sequence[bytes]) -> list[Any | BadInput]:
    """The value of each JSON text, or why it is refused.

    The texts are checked together: if all pass together, each passes, because no text has more keys
    than colons.
    """
    try:
        values = [orjson.loads(body) for body in bodies]
    except orjson.JSONDecodeError:
        pass
    else:
        joined = b"\n".join(bodies)
        if not has_long_number(joined) and _keys_are_unique(joined, values):
            return values
    found: list[Any | BadInput] = []
    for body in bodies:
        try:
            found.append(parse(body))
        except BadInput as error:
            found.append(error)
    return found


def has_long_number(body: bytes) -> bool:
    """Whether enough digits follow each other for a too long integer; for long texts."""
    digits = (np.frombuffer(body, np.uint8) - ord("0")) < 10
    for shift in _SHIFTS:  # each remaining position begins so many digits: 2, 4, 8, 16, 22
        digits = digits[:-shift] & digits[shift:]
    return bool(digits.any())


def count(text: bytes, sign: bytes) -> int:
    """How often a byte is in a text."""
    if len(text) <= LARGE:
        return text.count(sign)
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(sign)))


def _keys_are_unique(body: bytes, value: Any) -> bool:
    """A quick check that no key is repeated: each has its colon."""
    return _has_keys(value, body.count(b":")) or _has_keys(value, _most_keys(body))


def no_more_keys(bodies: Sequence[bytes], keys: int) -> bool:
    """A quick check that texts together have no more keys than so many."""
    colons = 0
    for start in range(0, len(bodies), _TOGETHER):
        colons += count(b"".join(bodies[start : start + _TOGETHER]), b":")
    return colons <= keys or _most_keys(b"".join(bodies)) <= keys


def _most_keys(body: bytes) -> int:
    """The maximum number of keys in a text: a key's colon follows a quote or a space.

    Colons in times and addresses do not.
    """
    text = np.frombuffer(body, np.uint8)
    colons = np.flatnonzero(text == _COLON)
    return int(np.isin(text[colons - 1], _BEFORE_COLON).sum())


def _has_keys(value: Any, colons: int) -> bool:
    """Whether a value has `colons` keys, counted level by level until they are found."""
    keys, level = 0, [value]
    while level:
        kinds = set(map(type, level))
        if not kinds <= _HOLDERS:
            level = [item for item in level if type(item) in _HOLDERS]
        dicts = level if kinds == {dict} else [item for item in level if type(item) is dict]
        keys += sum(map(len, dicts))
        if keys >= colons:
            return True
        lists = [item for item in level if type(item) is list]
        level = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
    return keys >= colons


def _check_slowly(body: bytes) -> None:
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_int=_in_range)
    except RecursionError:
        raise BadInput.of("body", "JSON of fewer levels", "too many levels") from None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise BadInput.of("body", "each key once", f"{shown(key)} twice")
        seen.add(key)


def check_integers(body: bytes) -> None:
    """Refuse integers of 1e21 and more, which no writer of floats spells out, in valid JSON.

    Raises:
        BadInput: there is one.
    """
    if LONG_NUMBER in body.translate(DIGITS_TO_ZERO):
        json.loads(body.decode(), parse_int=_in_range)


def _in_range(digits: str) -> None:
    if len(digits) > 22 or not -_TOO_LARGE < int(digits) < _TOO_LARGE:
        raise BadInput.of("body", "numbers of 1e21 and more with an exponent", shown(digits))
