"""Values of Arrow's columns as JSON holds them: the file's own, also those that Python has not.

Times are ISO 8601 with all their digits, of any year; decimals are texts with all their places,
bytes Base64.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from arro3 import core

from quintet.formats.arrow import is_decimal, is_list, type_name

__all__ = ["plain_values"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_MILLISECONDS = 86_400_000


def plain_values(array: core.Array) -> list[Any]:
    """The values of a column: numbers, booleans, texts, None, and lists and objects of them."""
    types, kind = core.DataType, array.type
    if types.is_dictionary(kind) and kind.value_type is not None:
        array, kind = array.cast(kind.value_type), kind.value_type
    if is_decimal(kind):
        return list(array.cast(types.string()).to_pylist())
    if types.is_temporal(kind):
        return _times(array)
    if _is_bytes(kind):
        return [None if v is None else base64.b64encode(v).decode() for v in array.to_pylist()]
    if is_list(kind) or types.is_struct(kind):
        return [_nested(array.slice(row, 1)) for row in range(len(array))]
    try:
        return list(array.to_pylist())
    except Exception as error:  # arro3 has no other: a kept row may hold anything
        return [f"a value of {type_name(kind)} that cannot be read: {error}"] * len(array)


def _is_bytes(kind: core.DataType) -> bool:
    types = core.DataType
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _nested(one: core.Array) -> Any:
    """The only value of a column of lists or structs."""
    if one.null_count:
        return None
    if is_list(one.type):
        return plain_values(core.list_flatten(one))
    fields = enumerate(one.type.fields)
    return {f.name: plain_values(core.struct_field(one, at))[0] for at, f in fields}


# ---- times ------------------------------------------------------------------------------------


def _times(array: core.Array) -> list[str | None]:
    types, kind = core.DataType, array.type
    wide = array.cast(types.int32()) if types.is_date32(kind) or types.is_time32(kind) else array
    numbers: list[int | None] = list(wide.cast(types.int64()).to_pylist())
    if types.is_date64(kind):
        numbers = [None if n is None else n // _DAY_MILLISECONDS for n in numbers]
    if types.is_date(kind):
        return [None if n is None else _any_year(np.datetime64(n, "D")) for n in numbers]
    unit = str(kind.time_unit)
    parts = _PARTS[unit]
    if types.is_timestamp(kind):
        zone = _zone(kind.tz)
        return [None if n is None else _moment(n, parts, zone) for n in numbers]
    if types.is_time(kind):
        return [None if n is None else _moment(n, parts, None).partition("T")[2] for n in numbers]
    return [None if n is None else _duration(n, parts) for n in numbers]


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        if name[:1] in "+-":
            return datetime.strptime(name, "%z").tzinfo
        return ZoneInfo(name)
    except (ValueError, OSError):  # the moment is the same in another zone
        return UTC


def _moment(number: int, parts: int, zone: tzinfo | None) -> str:
    seconds, rest = divmod(number, parts)
    try:
        found = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone or UTC)
        text = found.isoformat()
    except OverflowError:  # a year that Python has not
        text = f"{_any_year(np.datetime64(seconds, 's'))}+00:00"
    whole, offset = text[:-6], text[-6:]
    return whole + _fraction(rest, parts) + (offset if zone is not None else "")


def _any_year(moment: np.datetime64) -> str:
    """ISO 8601, in which a year of more than four digits has a sign."""
    text = str(moment)
    return text if text.startswith("-") or text[4] == "-" else f"+{text}"


def _fraction(rest: int, parts: int) -> str:
    """Six digits behind the point as Python writes them, nine where it takes as many."""
    nanoseconds = rest * (10**9 // parts)
    if not nanoseconds:
        return ""
    return f".{nanoseconds // 1000:06}" if nanoseconds % 1000 == 0 else f".{nanoseconds:09}"


def _duration(number: int, parts: int) -> str:
    seconds, rest = divmod(abs(number), parts)
    return f"{'-' if number < 0 else ''}PT{seconds}{_fraction(rest, parts)}S"
