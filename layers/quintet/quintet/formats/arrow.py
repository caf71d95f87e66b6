"""Arrow columns to numpy arrays, through arro3."""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.columns import Array, ragged
from quintet.errors import BadInput

__all__ = [
    "arrow_errors",
    "check_kind",
    "column",
    "csv_table",
    "is_decimal",
    "is_list",
    "is_text",
    "text_bytes",
    "type_name",
]

#: decimals of up to so many digits become the nearest float64; arro3 rounds longer ones twice
EXACT_DIGITS = 15


@contextmanager
def arrow_errors(field: str, expected: str) -> Iterator[None]:
    """Raise arro3's errors about damaged data as refusals.

    arro3 raises plain `Exception`s. On some damage Rust panics with a BaseException from a module
    that cannot be imported.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, OSError):
        raise
    except BadInput:
        raise
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        raise BadInput.of(field, expected, "data that cannot be decoded") from error


def csv_table(
    text: bytes, kinds: Sequence[core.DataType], delimiter: str, rows: int
) -> core.Table | None:
    """CSV rows as columns of these types, named by their positions.

    None if a row does not fit, or if arro3 might read them differently from the csv module.
    """
    if b"\0" in text:  # arro3 aborts the process if it quotes such a row in an error
        return None
    if text.count(b"\r") != text.count(b"\r\n"):  # arro3 ends a row at any of them
        return None
    if text.startswith(codecs.BOM_UTF8):  # arro3 removes it, even if it is not the file's
        return None
    # names are positions: a file may have an unused column twice
    schema = core.Schema([core.Field(str(at), kind) for at, kind in enumerate(kinds)])
    try:
        found = arrow_io.read_csv(
            text, schema, has_header=False, delimiter=delimiter, batch_size=rows + 1
        ).read_all()
    except Exception:  # a bad number, a ragged row, not UTF-8: arro3 has no class for each
        return None
    return found if found.num_rows == rows else None


def check_kind(name: str, kind: core.DataType) -> None:
    """Refuse a column whose type no feature can have.

    Raises:
        BadInput: it contains times or bytes, or is nested other than in lists.
    """
    types = core.DataType
    if types.is_dictionary(kind) and kind.value_type is not None:
        kind = kind.value_type
    plain = types.is_numeric(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    if not (plain or is_list(kind) or is_text(kind) or types.is_null(kind)):
        raise BadInput.of(name, "numbers, text or booleans", f"a column of {type_name(kind)}")


def column(
    name: str, array: core.Array, shape: tuple[int, ...] = (), dtype: str = "string"
) -> tuple[Array, Array | None]:
    """A column's values for a feature of that shape and dtype, and the mask of its nulls.

    Values at nulls are arbitrary; a mask of None means no nulls. A list column becomes (rows,
    *shape) if every list fits, else an object array of lists. Decimals become texts, which are
    exact, unless the feature is a float that represents every decimal of the type.

    Raises:
        BadInput: no feature can have its type.
    """
    types, kind = core.DataType, array.type
    if array.null_count == 0 and (types.is_floating(kind) or types.is_integer(kind)):
        return array.to_numpy(), None  # most are; each further check takes as long as this one
    check_kind(name, kind)
    if types.is_dictionary(kind):
        assert kind.value_type is not None
        array = array.cast(kind.value_type)
    if is_decimal(array.type):
        if dtype == "bool":
            raise BadInput.of(name, "a column of bool", f"one of {type_name(array.type)}")
        exact = dtype.startswith("float") and _precision(array.type) <= EXACT_DIGITS
        array = array.cast(types.float64() if exact else types.string())
    if types.is_null(array.type):
        return np.full(len(array), None, dtype=object), np.ones(len(array), dtype=np.bool_)
    if is_list(array.type):
        return _lists(name, array, shape, dtype), None
    if array.null_count == 0:
        return array.to_numpy(), None
    if is_text(array.type):
        values = np.array(array.to_pylist(), dtype=object)
        return values, np.array([value is None for value in values], dtype=np.bool_)
    return _nullable(array)


def is_text(kind: core.DataType) -> bool:
    """Whether a column of that type contains text."""
    return (
        core.DataType.is_string(kind)
        or core.DataType.is_large_string(kind)
        or core.DataType.is_string_view(kind)
    )


def is_list(kind: core.DataType) -> bool:
    types = core.DataType
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_decimal(kind: core.DataType) -> bool:
    """Whether a column of that type contains decimals; arro3 detects those of 128 bits and more."""
    return core.DataType.is_decimal(kind) or type_name(kind).startswith("Decimal")


def _precision(kind: core.DataType) -> int:
    """The digits of a decimal type, which arro3 gives only in its name."""
    return int(type_name(kind).partition("(")[2].partition(",")[0])


def type_name(kind: core.DataType) -> str:
    return str(kind).removeprefix("arro3.core.DataType<").rstrip("\n>")


def _lists(name: str, array: core.Array, shape: tuple[int, ...], dtype: str) -> Array:
    if array.null_count == 0 and shape:
        values, null = column(name, core.list_flatten(array), shape[1:], dtype)
        if -1 in shape:
            if null is None and (found := _arrays(array, values, len(shape) > 1)) is not None:
                return found
            return _pylists(array)
        uniform = core.DataType.is_fixed_size_list(array.type) or np.all(
            np.diff(core.list_offsets(array).to_numpy()) == shape[0]
        )
        if null is None and uniform and values.shape == (len(array) * shape[0], *shape[1:]):
            return values.reshape(len(array), *shape)
    return _pylists(array)


def _pylists(array: core.Array) -> Array:
    return np.fromiter(array.to_pylist(), dtype=object, count=len(array))


def _arrays(lists: core.Array, values: Array, nested: bool) -> Array | None:
    """Lists as an array each, (rows,); None if one is not of one shape, or all are empty.

    `values` are those of all lists: numbers or texts, or an array for each inner list (`nested`).
    """
    if core.DataType.is_fixed_size_list(lists.type):
        lengths = np.full(len(lists), len(values) // max(1, len(lists)))
    else:
        lengths = np.diff(core.list_offsets(lists).to_numpy())
    if lengths.sum() != len(values) or not len(values):
        return None
    rows = np.split(values, np.cumsum(lengths)[:-1])
    if nested and values.ndim == 1:
        if any(not isinstance(inner, np.ndarray) for inner in values.tolist()):
            return None
        if any(len({inner.shape for inner in row}) > 1 for row in rows):
            return None
        empty = np.empty((0, *values[0].shape), dtype=values[0].dtype)
        rows = [np.stack(row.tolist()) if len(row) else empty for row in rows]
    return ragged(rows)


# ---- values beside nulls, straight from Arrow's memory ------------------------------------------


class _CArray(ctypes.Structure):
    """https://arrow.apache.org/docs/format/CDataInterface.html#the-arrowarray-structure"""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def _nullable(array: core.Array) -> tuple[Array, NDArray[np.bool_]]:
    """Values and nulls of a primitive column. arro3 itself refuses columns with nulls."""
    kind = array.type
    _, capsule = array.__arrow_c_array__()
    raw = _CArray.from_address(_pointer(capsule, b"arrow_array"))
    rows, offset = raw.length, raw.offset
    valid = _bits(raw.buffers[0], offset, rows)
    if core.DataType.is_boolean(kind):
        return _bits(raw.buffers[1], offset, rows), ~valid
    dtype = _dtype(kind)
    size = (offset + rows) * dtype.itemsize
    held = (ctypes.c_char * size).from_address(raw.buffers[1])
    return np.frombuffer(held, dtype=dtype)[offset:].copy(), ~valid


def _dtype(kind: core.DataType) -> np.dtype[Any]:
    # arro3 cannot make a float16 array from a list, not even an empty one
    return core.Array([], core.DataType.float32()).cast(kind).to_numpy().dtype


def _bits(address: int, offset: int, rows: int) -> NDArray[np.bool_]:
    held = bytes((ctypes.c_char * ((offset + rows + 7) // 8)).from_address(address))
    bits = np.unpackbits(np.frombuffer(held, dtype=np.uint8), bitorder="little")
    found: NDArray[np.bool_] = bits[offset : offset + rows].astype(np.bool_)
    return found


def text_bytes(array: core.Array, most: int) -> NDArray[np.bytes_]:
    """The UTF-8 of a text column, (rows,); of nulls, and texts of more than `most` bytes, b""."""
    rows = len(array)
    _, capsule = array.cast(core.DataType.large_string()).__arrow_c_array__()
    raw = _CArray.from_address(_pointer(capsule, b"arrow_array"))
    if rows == 0:
        return np.zeros(0, dtype="S1")
    size = (raw.offset + rows + 1) * 8
    held = (ctypes.c_char * size).from_address(raw.buffers[1])
    offsets = np.frombuffer(held, dtype=np.int64)[raw.offset :]
    start, end = int(offsets[0]), int(offsets[-1])
    lengths = np.diff(offsets)
    kept = lengths <= most
    if raw.null_count:
        kept &= _bits(raw.buffers[0], raw.offset, rows)
    if start == end or not kept.any():
        return np.zeros(rows, dtype="S1")
    text = (ctypes.c_char * end).from_address(raw.buffers[2])
    letters = np.frombuffer(memoryview(text), dtype=np.uint8)[start:][np.repeat(kept, lengths)]
    lengths = np.where(kept, lengths, 0)
    width = max(int(lengths.max()), 1)
    out = np.zeros((rows, width), dtype=np.uint8)
    out[np.arange(width) < lengths[:, None]] = letters
    return out.reshape(-1).view(f"S{width}")


# ---- numpy to Arrow -----------------------------------------------------------------------------
