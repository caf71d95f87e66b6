"""The batch itself, and what every way of making one shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.contract import Contract, Feature
from quintet.errors import Refusal

Array = NDArray[Any]

#: how much of a refused value a message shows
SHOWN = 60

#: JSON types that need no second look, by the kind of the numpy dtype
PLAIN_TYPES: dict[str, set[type]] = {
    "f": {float, int},
    "i": {int},
    "u": {int},
    "b": {bool},
    "O": {str},
}


@dataclass(slots=True)
class Batch:
    """Rows to score, as columns.

    `columns` holds arrays of shape (rows, *feature.shape) in the feature's dtype; strings
    are object arrays of `str`. `entities` is the entity key of each row, where the contract
    has one. Refused rows stay in place (with filler values) so that positions keep their
    meaning; `good` is False for them. `stacked` holds columns that came side by side, as one
    (rows, len(names)) array by their names, so that nobody has to stack them again.
    """

    rows: int
    columns: dict[str, Array]
    good: NDArray[np.bool_]
    entities: list[str] | None = None
    refusals: list[Refusal] = field(default_factory=list)
    stacked: dict[tuple[str, ...], Array] = field(default_factory=dict)

    def put(self, names: tuple[str, ...], matrix: Array) -> None:
        """Set the columns of `names` from one array, (rows, len(names))."""
        self.stacked[names] = matrix
        self.columns.update(zip(names, matrix.T, strict=True))

    def refuse(self, row: int, field_name: str, expected: str, got: str) -> None:
        """Refuse one row."""
        self.good[row] = False
        self.refusals.append(Refusal(row, field_name, expected, got))


@cache
def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype that holds a contract's dtype; strings are objects."""
    return np.dtype(object if dtype == "string" else dtype)


def shown(value: object, feature: Feature | None = None) -> str:
    """A refused value as a message may show it: short, and hidden where it is sensitive."""
    if feature is not None and feature.sensitive:
        return f"a hidden {type(value).__name__}"
    if isinstance(value, np.generic):
        value = value.item()
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def expected_kind(feature: Feature) -> str:
    """What a feature's values must be, in words."""
    kind = {"b": "true or false", "O": "a string"}.get(numpy_dtype(feature.dtype).kind)
    kind = kind or f"a number ({feature.dtype})"
    return f"an array of shape {list(feature.shape)} of {feature.dtype}" if feature.shape else kind


def empty(rows: int) -> Batch:
    return Batch(rows, {}, np.ones(rows, dtype=np.bool_))


def fill(
    batch: Batch,
    feature: Feature,
    values: Sequence[Any],
    convert: Callable[[Feature, Any], Any],
) -> None:
    """The column of `feature` from values of which some are missing (None) or bad."""
    dtype = numpy_dtype(feature.dtype)
    column = np.empty((batch.rows, *feature.shape), dtype=dtype)
    filler: Any = "" if dtype.kind == "O" else 0
    for row, value in enumerate(values):
        try:
            if value is not None:
                with np.errstate(over="ignore"):
                    column[row] = convert(feature, value)
                continue
            if feature.default is not None:
                column[row] = feature.default
                continue
            got = "nothing"
        except (ValueError, OverflowError):
            got = shown(value, feature)
        column[row] = filler
        if batch.good[row] or got != "nothing":
            batch.refuse(row, feature.name, expected_kind(feature), got)
    batch.columns[feature.name] = column


def set_entities(contract: Contract, batch: Batch, values: Sequence[Any]) -> None:
    """The entity keys: strings, or integers written as strings."""
    assert contract.entity is not None
    if set(map(type, values)) == {str} and "" not in values:
        batch.entities = list(values)
        return
    batch.entities = []
    for row, value in enumerate(values):
        plain = type(value) is str or (type(value) is int)
        batch.entities.append(str(value) if plain else "")
        if value is None or value == "":
            if contract.needs_entity and batch.good[row]:
                batch.refuse(row, contract.entity, "the entity key", "nothing")
        elif not plain:
            batch.refuse(row, contract.entity, "a string", f"a {type(value).__name__}")


def array_of(values: Any, dtype: str) -> Array:
    """Plain values as an array; overflow to infinity is left to the finite check."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=numpy_dtype(dtype))


def vector(feature: Feature, value: Any) -> Array:
    """A nested list as an array of the feature's shape. Raises ValueError when it is not one."""
    try:
        flat: Iterable[Any] = value
        for _ in feature.shape[1:]:
            flat = chain.from_iterable(flat)
        kinds = set(map(type, flat))
        if not kinds <= PLAIN_TYPES[numpy_dtype(feature.dtype).kind]:
            raise ValueError
        array = array_of(value, feature.dtype)
    except TypeError:
        raise ValueError from None
    if array.shape != feature.shape:
        raise ValueError
    return array


def dtype_name(array: Array) -> str:
    return "string" if array.dtype.kind in "OSU" else array.dtype.name


def cast(batch: Batch, feature: Feature, values: Array) -> Array:
    """Numbers in the feature's dtype; a row whose value it cannot hold is refused."""
    with np.errstate(over="ignore", invalid="ignore"):
        column = values.astype(numpy_dtype(feature.dtype))
    if column.dtype.kind in "iu" and not np.array_equal(column, values):
        differs = (column != values).reshape(batch.rows, -1)
        rows = np.flatnonzero(differs.any(axis=1)).tolist()
        for row in rows:
            if batch.good[row]:
                batch.refuse(row, feature.name, expected_kind(feature), shown(values[row], feature))
        column[rows] = 0
    return column
