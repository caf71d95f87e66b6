"""The only reader of values by type: a value as its feature's kind, in any form.

JSON values, text cells and Python scalars become the feature's kind exactly, or are refused: none
passes through a type that cannot represent it. Typed arrays follow the same rules by
`quintet.columns.batch.cast`, entity keys by `quintet.columns.batch.key_of`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from quintet.columns.batch import EXACT, PLAIN_TYPES, Array, is_missing, numpy_dtype, vector
from quintet.columns.ragged import ShapeError, shape_of
from quintet.contract import Feature

__all__ = ["cell_value", "comma_value", "json_value", "separated", "texts_of", "with_point"]

#: a number with a decimal comma; points separate thousands
_COMMA = re.compile(
    r"\s*[+-]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)?(?:,\d*)?(?:[eE][+-]?\d+)?\s*", re.ASCII
)
_POINT = re.compile(r"\s*[+-]?\d*\.\d+\s*", re.ASCII)
#: digits with one separator or more
_SEPARATED = re.compile(r"\s*[+-]?\d*(?:[.,'\u2019 \u00a0\u202f]\d+)+\s*", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def json_value(feature: Feature, value: Any) -> Any:
    """A JSON value in the feature's kind.

    Raises:
        ValueError, OverflowError: it is of another kind, or not certainly an integer.
    """
    return _value(feature, value, _json_scalar)


def cell_value(feature: Feature, value: Any) -> Any:
    """A text cell in the feature's kind, or a Python scalar (from a Parquet list).

    For a feature with a shape, `value` is nested lists of them.

    Raises:
        ValueError, OverflowError: it is of another kind.
    """
    return _value(feature, value, _cell_scalar)


def comma_value(feature: Feature, value: Any) -> Any:
    """Like `cell_value`, of a CSV with decimal commas.

    Raises:
        ValueError, OverflowError: it is of another kind.
    """
    if numpy_dtype(feature.dtype).kind in "fiu":
        value = with_point(value)
    return cell_value(feature, value)


def with_point(value: Any) -> Any:
    """A cell (or nested lists) with a decimal point for its comma, without separators of thousands.

    Raises:
        ValueError: its points and commas are not those of a number.
    """
    if isinstance(value, list | tuple):
        return [with_point(item) for item in value]
    if not isinstance(value, str) or not ("," in value or "." in value):
        return value
    if not _COMMA.fullmatch(value):
        raise ValueError
    return value.replace(".", "").replace(",", ".")


def separated(value: Any, comma: bool) -> bool:
    """Whether a cell is a number with other separators than the contract's.

    It has a decimal comma or separators of thousands; with `comma`, misplaced points.
    """
    if not isinstance(value, str) or not _SEPARATED.fullmatch(value):
        return False
    return comma or not _POINT.fullmatch(value)


def texts_of(values: Array) -> Array:
    """Numbers or booleans as texts: numbers with as many digits as their dtype needs."""
    texts = np.empty(values.size, dtype=object)
    # numpy scalars, which know their number of digits
    texts[:] = [_text(value) for value in values.reshape(-1)]
    return texts.reshape(values.shape)


_Scalar = Callable[[str, Any], Any]


def _value(feature: Feature, value: Any, scalar: _Scalar) -> Any:
    kind = numpy_dtype(feature.dtype).kind
    if not feature.shape:
        return scalar(kind, value)
    try:
        return vector(feature, value)
    except ShapeError:
        raise
    except ValueError:  # it has other kinds, which may be readable value by value
        pass
    if feature.missing:
        scalar = partial(_or_nan, scalar)
    shape = shape_of(feature, value) if feature.free else feature.shape
    array = np.empty(shape, dtype=numpy_dtype(feature.dtype))
    with np.errstate(over="ignore"):
        _put(array, kind, value, scalar)
    return array


def _put(array: Array, kind: str, value: Any, scalar: _Scalar) -> None:
    """Fill in nested lists of the array's shape. Raises ValueError for another shape."""
    if not isinstance(value, list | tuple) or len(value) != len(array):
        raise ValueError
    for place, item in enumerate(value):
        if array.ndim == 1:
            array[place] = scalar(kind, item)
        else:
            _put(array[place], kind, item, scalar)


def _or_nan(scalar: _Scalar, kind: str, value: Any) -> Any:
    """An element, NaN where it is missing: None, and the empty text of a cell."""
    if value is None or (value == "" and scalar is _cell_scalar):
        return math.nan
    return scalar(kind, value)


def _json_scalar(kind: str, value: Any) -> Any:
    if type(value) in PLAIN_TYPES[kind]:
        return value
    if kind in "iu" and type(value) is float and value.is_integer() and abs(value) < EXACT:
        return int(value)
    raise ValueError


def _cell_scalar(kind: str, value: Any) -> Any:
    if not isinstance(value, str):
        from decimal import Decimal

        if isinstance(value, Decimal):
            return _cell_scalar(kind, str(value))
        if kind != "O":
            return _json_scalar(kind, value)
        if is_missing(value):
            raise ValueError
        return _text(value)
    if kind == "O":
        return value
    if kind == "b":
        return _boolean(value)
    if "_" in value:  # Python allows it between digits, no data format does
        raise ValueError
    return float(value) if kind == "f" else _integer(value)


def _boolean(cell: str) -> bool:
    found = _BOOLEANS.get(cell.strip().lower())
    if found is None:
        raise ValueError
    return found


def _integer(cell: str) -> int:
    """The exact integer in a text; pandas writes whole numbers as "12.0" in a column with gaps."""
    try:
        return int(cell)
    except ValueError:
        pass
    number = float(cell)
    if not number.is_integer() or abs(number) > 2.0**64:  # infinite, or out of any dtype
        raise ValueError
    from decimal import Decimal, InvalidOperation  # no request has such a cell

    try:
        exact = Decimal(cell.strip())
    except InvalidOperation:
        raise ValueError from None
    if exact != int(exact):
        raise ValueError
    return int(exact)


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return str(value)
