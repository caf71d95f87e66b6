"""The batch itself, and the functions shared by all ways of making one."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from quintet import errors
from quintet.columns.ragged import ShapeError, filler, shape_of, shape_text
from quintet.contract import Contract, Feature
from quintet.errors import Refusal, json_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]

#: from here on, a float represents several integers, so it is not accepted as one
EXACT = 2.0**53

#: the bytes of the longest id of a row
MAX_ID_BYTES = 200
#: what a row's id must be
ID_KIND = f"a string of at most {MAX_ID_BYTES} bytes, or a whole number"

#: elements of a mask, as bytes: `FALSE in mask.tobytes()` takes a third of `mask.all()`, whose
#: method is many calls
FALSE, TRUE = b"\0", b"\1"

#: JSON types that need no further check, by the kind of the numpy dtype
PLAIN_TYPES: dict[str, set[type]] = {
    "f": {float, int},
    "i": {int},
    "u": {int},
    "b": {bool},
    "O": {str},
}


class Batch:
    """Rows to score, as columns.

    `columns` holds arrays of shape (rows, *feature.shape) in the feature's dtype; strings
    are object arrays of `str`. A feature with free axes has an object array of arrays, (rows,).
    `entities` is the entity key of each row, if the contract has one. `ids` are the rows' own ids,
    None for a row without one; None if no row has one. `known` (rows, stored features) is when the
    feature store took each value, in epoch seconds, 0 if it does not say; None if it says for none,
    or the contract has no `capture`.
    Refused rows stay in place (with filler values) so that positions stay valid; `good` is False
    for them, and `marks` is None until `good` was asked for: then all rows are good. `stacked` has
    columns side by side, as one (rows, len(names)) array by their names; they are columns, too.
    `absent` are the features that no row has, so that all have the default, or NaN.

    Not a dataclass: columns of a stacked array, and `good`, are made when they are first asked for,
    since a usual request never asks.
    """

    __slots__ = (
        "_columns",
        "_split",
        "absent",
        "entities",
        "ids",
        "known",
        "marks",
        "refusals",
        "rows",
        "stacked",
    )

    def __init__(
        self,
        rows: int,
        columns: dict[str, Array],
        good: NDArray[np.bool_] | None = None,
        entities: list[str] | None = None,
        refusals: list[Refusal] | None = None,
        *,
        stacked: dict[tuple[str, ...], Array] | None = None,
        absent: set[str] | None = None,
        ids: list[str | None] | None = None,
        known: NDArray[np.float64] | None = None,
    ) -> None:
        self.rows = rows
        self._columns = columns
        self.marks = good
        self.entities = entities
        self.refusals: list[Refusal] = [] if refusals is None else refusals
        self.stacked: dict[tuple[str, ...], Array] = {} if stacked is None else stacked
        self._split = dict(self.stacked)  # those whose columns are among `columns`
        self.absent: set[str] = set() if absent is None else absent
        self.ids = ids
        self.known = known

    @property
    def columns(self) -> dict[str, Array]:
        """The columns by name."""
        for names, matrix in self.stacked.items():
            if self._split.get(names) is not matrix:
                self._split[names] = matrix
                self._columns.update(zip(names, matrix.T, strict=True))
        return self._columns

    @columns.setter
    def columns(self, columns: dict[str, Array]) -> None:
        self._columns, self._split = columns, dict(self.stacked)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which rows are not refused, (rows,); it may be changed in place."""
        if self.marks is None:
            self.marks = np.ones(self.rows, dtype=np.bool_)
        return self.marks

    @good.setter
    def good(self, good: NDArray[np.bool_]) -> None:
        self.marks = good

    def refuse(self, row: int, field_name: str, expected: str, got: str) -> None:
        """Refuse one row."""
        self.good[row] = False
        self.refusals.append(Refusal(row, field_name, expected, got))

    def with_(self, **changes: Any) -> Batch:
        """A batch with other values of some attributes; what is not changed is shared."""
        names = ("rows", "columns", "good", "entities", "refusals", "stacked", "absent", "ids")
        held = {name: getattr(self, name) for name in (*names, "known")}
        return Batch(**held | changes)


@lru_cache(maxsize=64)
def positions(rows: int) -> NDArray[np.int64]:
    """All positions of so many rows, (rows,); shared, so it cannot be changed."""
    found = np.arange(rows)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=64)
def no_rows(rows: int) -> NDArray[np.bool_]:
    """A mask that marks none of so many rows, (rows,); shared, so it cannot be changed."""
    found = np.zeros(rows, dtype=np.bool_)
    found.flags.writeable = False
    return found


@cache
def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype for a contract's dtype; strings are objects."""
    return np.dtype(object if dtype == "string" else dtype)


def shown(value: object, feature: Feature | None = None) -> str:
    """A refused value for a message: shortened, and hidden if it is sensitive."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if feature is not None and feature.sensitive:
        return f"a hidden {json_kind(value).rpartition(' ')[2]}"
    return errors.shown(value)


def expected_kind(feature: Feature) -> str:
    """What a feature's values must be, in words."""
    kind = {"b": "true or false", "O": "a string"}.get(numpy_dtype(feature.dtype).kind)
    kind = kind or f"a number ({feature.dtype})"
    return f"an array of shape {shape_text(feature)} of {feature.dtype}" if feature.shape else kind


def is_missing(value: Any) -> bool:
    """Whether a value is missing: None, or NaN, which pandas uses for gaps."""
    return value is None or (type(value) is float and math.isnan(value))


def fill(
    batch: Batch,
    feature: Feature,
    values: Sequence[Any],
    convert: Callable[[Feature, Any], Any],
) -> None:
    """The column of `feature` from values, some of which are missing (None) or bad."""
    dtype = numpy_dtype(feature.dtype)
    if feature.fill is not None and all(value is None for value in values):
        batch.absent.add(feature.name)
    unfit: Any = "" if dtype.kind == "O" else 0
    if feature.free:
        column, unfit = np.empty(batch.rows, dtype=object), filler(feature)
    else:
        column = np.empty((batch.rows, *feature.shape), dtype=dtype)
    for row, value in enumerate(values):
        try:
            if value is not None:
                with np.errstate(over="ignore"):
                    column[row] = convert(feature, value)
                continue
            if feature.fill is not None:
                column[row] = feature.fill
                continue
            got = "nothing"
        except ShapeError as error:
            got = str(error)
        except (ValueError, OverflowError):
            got = shown(value, feature)
        column[row] = unfit
        if batch.good[row] or got != "nothing":
            batch.refuse(row, feature.key, expected_kind(feature), got)
    batch.columns[feature.name] = column


def drop_empty_texts(batch: Batch, features: Sequence[Feature]) -> None:
    """Treat the empty text of some features as a missing value."""
    for feature in features:
        gaps = np.flatnonzero((batch.columns[feature.name] == "") & batch.good)
        if not len(gaps) or feature.default == "":
            continue
        if feature.default is None:
            for row in gaps.tolist():
                batch.refuse(row, feature.key, expected_kind(feature), "nothing")
            continue
        column = batch.columns[feature.name] = batch.columns[feature.name].copy()
        column[gaps] = feature.default
        batch.stacked = {n: m for n, m in batch.stacked.items() if feature.name not in n}


def set_entities(contract: Contract, batch: Batch, values: Sequence[Any]) -> None:
    """The entity keys, see `key_of`; None and the empty text are not keys."""
    assert contract.entity is not None
    if set(map(type, values)) == {str} and "" not in values and ".0" not in "".join(values):
        batch.entities = list(values)
        return
    batch.entities = []
    for row, value in enumerate(values):
        key = ""
        try:
            if not is_missing(value):
                key = key_of(value)
        except ValueError:
            batch.refuse(row, contract.entity, "a string or a whole number", json_kind(value))
        else:
            if not key and contract.needs_entity and batch.good[row]:
                batch.refuse(row, contract.entity, "the entity key", "nothing")
        batch.entities.append(key)


def set_ids(batch: Batch, name: str, values: Sequence[Any]) -> None:
    """The rows' own ids from their field `name`, see `id_of`; a row with another value is refused.

    A row that has one already keeps it if its field has none.
    """
    kinds = set(map(type, values))
    if kinds == {str} and "" not in values and max(map(len, values)) <= MAX_ID_BYTES // 4:
        batch.ids = list(values)
        return
    if kinds <= {NoneType}:
        return
    found: list[str | None] = batch.ids or [None] * batch.rows
    for row, value in enumerate(values):
        try:
            found[row] = id_of(value) or found[row]
        except ValueError:
            batch.refuse(row, name, ID_KIND, shown(value))
    batch.ids = found if any(found) else None


def id_of(value: Any) -> str | None:
    """An id as text; None for a missing value and the empty text, which are none.

    A whole number is its digits, also as a float, which a column with gaps has in Parquet.

    Raises:
        ValueError: it is neither text nor a whole number, or longer than `MAX_ID_BYTES`.
    """
    if is_missing(value) or value == "":
        return None
    if type(value) is float and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    if type(value) is int:
        value = str(value)
    if type(value) is not str or len(value.encode()) > MAX_ID_BYTES:
        raise ValueError
    return value


#: a whole number that was written with a fraction
_ZERO_FRACTION = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+", re.ASCII)


def key_of(value: Any) -> str:
    """An entity key: the text of a value; a whole number loses its fraction ("17850.0" is 17850).

    Raises:
        ValueError: it is neither text nor number, or a float that represents several integers.
    """
    if type(value) is float:
        if not abs(value) < EXACT:
            raise ValueError
    elif type(value) is not str and type(value) is not int:
        raise ValueError
    text = str(value)
    found = _ZERO_FRACTION.fullmatch(text)
    if found is None:
        return text
    return "0" if found[1] == "-0" else found[1]


#: numpy's codes of dtypes that are struct's, too
_PACKED = frozenset("?bBhHiIlLqQefd")


@lru_cache(maxsize=64)
def _packer(count: int, code: str) -> Callable[..., bytes]:
    """What packs so many numbers of a dtype."""
    return struct.Struct(f"{count}{code}").pack


def flat_array(values: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    """Values of a plain kind as an array, (values,), which may be read-only; None is NaN.

    Overflow to infinity is left to the finite check.

    Raises:
        OverflowError: an integer is out of the dtype's range.
    """
    if dtype.char in _PACKED:
        # struct packs Python's numbers in half the time that numpy takes to read them
        try:
            return np.frombuffer(_packer(len(values), dtype.char)(*values), dtype)
        except (OverflowError, struct.error):
            pass  # numpy gives infinity, NaN, or the error
    with np.errstate(over="ignore"):
        return np.array(values, dtype=dtype)


def array_of(values: Any, dtype: str) -> Array:
    """Plain values as an array; None is NaN. Overflow to infinity is left to the finite check."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=numpy_dtype(dtype))


def vector(feature: Feature, value: Any) -> Array:
    """A nested list as an array of the feature's shape. Raises ValueError for another shape."""
    shape = shape_of(feature, value) if feature.free else feature.shape
    try:
        flat: Iterable[Any] = value
        for _ in shape[1:]:
            flat = chain.from_iterable(flat)
        kinds = set(map(type, flat))
        if feature.missing:
            kinds.discard(NoneType)
        if not kinds <= PLAIN_TYPES[numpy_dtype(feature.dtype).kind]:
            raise ValueError
        array = array_of(value, feature.dtype)
    except TypeError:
        raise ValueError from None
    if array.shape != shape:
        if array.size or math.prod(shape):
            raise ValueError
        array = array.reshape(shape)
    return array


def dtype_name(array: Array) -> str:
    return "string" if array.dtype.kind in "OSU" else array.dtype.name


def converted(feature: Feature, values: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Numbers in the feature's dtype, and which of them it represents."""
    with np.errstate(over="ignore", invalid="ignore"):
        column = values.astype(numpy_dtype(feature.dtype))
    if column.dtype.kind not in "iu":
        return column, np.array(True)
    same = column == values
    if values.dtype.kind == "f":
        same &= np.abs(values) < EXACT
    return column, same


def cast(batch: Batch, feature: Feature, values: Array) -> Array:
    """Numbers in the feature's dtype; a row whose value it cannot represent is refused."""
    column, same = converted(feature, values)
    if not same.all():
        rows = np.flatnonzero(~same.reshape(batch.rows, -1).all(axis=1)).tolist()
        for row in rows:
            if batch.good[row]:
                batch.refuse(row, feature.key, expected_kind(feature), shown(values[row], feature))
        column[rows] = 0
    return column
