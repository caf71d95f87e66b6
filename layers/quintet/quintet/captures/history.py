"""The history of stored features, kept beside captures: what `quintet features load` read.

The feature store holds the newest values only. Each load adds an object with all valid rows of its
file, below the entity key that the features are stored by: `entity`, `at`, `known_at` if the file
has it, and the features by name. It is what served features are compared with (skew).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.store import CaptureObjects
from quintet.captures.tables import moments, read_parquet, write_parquet
from quintet.columns import Array, numpy_dtype
from quintet.contract import Feature
from quintet.errors import BadInput
from quintet.formats.arrow import column
from quintet.monitoring.skew import History

__all__ = ["HISTORY", "add_history", "read_history"]

#: never deleted by age: a value may be the newest for years
HISTORY = "features/"


def add_history(objects: CaptureObjects, key: str, now: float, rows: History) -> str:
    """Keep the rows of a load at `now` of features that are stored by the entity key `key`.

    Returns the object's key; the same rows again stay one object. Raises Transient.
    """
    columns: dict[str, Any] = {
        "entity": core.Array(rows.entities.tolist(), core.DataType.string()),
        "at": core.Array.from_numpy(moments(rows.at)),
    }
    if not np.isnan(rows.known_at).any():
        columns["known_at"] = core.Array.from_numpy(moments(rows.known_at))
    # with a prefix, as in captures: a feature may have the name of a column above
    for name, values in rows.values.items():
        columns[f"feature_{name}"] = _nullable(values, rows.there[name])
    body = write_parquet(core.Table.from_pydict(columns))
    end = f"-{hashlib.sha256(body).hexdigest()[:16]}.parquet"
    folder = _folder(key)
    for held in objects.keys(folder):
        if held.endswith(end):
            return held
    place = f"{folder}{int(now * 1000):013d}{end}"
    objects.swap(place, body, None)
    return place


def _folder(key: str) -> str:
    return f"{HISTORY}entity={quote(key, safe='')}/"


def _nullable(values: Array, there: NDArray[np.bool_]) -> core.Array:
    """Values as a column; float16 becomes float32, which every reader of Parquet knows."""
    name = {"object": "string", "float16": "float32"}.get(values.dtype.name, values.dtype.name)
    some = [value if known else None for value, known in zip(values.tolist(), there, strict=True)]
    return core.Array(some, getattr(core.DataType, name)())


def read_history(
    objects: CaptureObjects, key: str, features: Sequence[Feature], entities: Collection[str]
) -> History:
    """The loads of some features of some entities, stored by an entity key, in their order.

    Loads are read one by one: memory holds one of them, and the rows that are asked for. The first
    row of each load that has a feature is kept, too, so that it is known to have been loaded.

    Raises:
        Transient: an object could not be read.
        BadInput: a feature was loaded with values that do not fit its type of now.
    """
    wanted = set(entities)
    parts = [_nothing(features)]
    for place in objects.keys(_folder(key)):
        if (stored := objects.get(place)) is not None:
            parts.append(_load(place, read_parquet(stored.body), features, wanted))
    return History(
        np.concatenate([part.entities for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.known_at for part in parts]),
        {f.name: np.concatenate([part.values[f.name] for part in parts]) for f in features},
        {f.name: np.concatenate([part.there[f.name] for part in parts]) for f in features},
    )


def _load(place: str, table: core.Table, features: Sequence[Feature], wanted: set[str]) -> History:
    """The rows of one load that are kept."""
    names = table["entity"].to_pylist()
    kept = np.fromiter((one in wanted for one in names), np.bool_, len(names))
    values: dict[str, Array] = {}
    there: dict[str, NDArray[np.bool_]] = {}
    for feature in features:
        own, mask = _values(place, table, feature)
        values[feature.name], there[feature.name] = own, mask
        kept[np.flatnonzero(mask)[:1]] = True
    rows = np.flatnonzero(kept)
    entities = np.array([names[row] for row in rows.tolist()], dtype=np.str_)
    return History(
        entities,
        _seconds(table, "at")[rows],
        _seconds(table, "known_at")[rows],
        {name: found[rows] for name, found in values.items()},
        {name: found[rows] for name, found in there.items()},
    )


def _values(place: str, table: core.Table, feature: Feature) -> tuple[Array, NDArray[np.bool_]]:
    """The values of a feature in a load, and which rows have one."""
    own = np.zeros(table.num_rows, dtype=numpy_dtype(feature.dtype))
    mask = np.zeros(table.num_rows, dtype=np.bool_)
    if f"feature_{feature.name}" in table.column_names:
        found = table[f"feature_{feature.name}"].combine_chunks()
        some, null = column(feature.name, found, (), feature.dtype)
        mask = np.ones(len(some), dtype=np.bool_) if null is None else ~null
        try:
            own[mask] = some[mask]
        except (TypeError, ValueError):
            raise BadInput.of(
                feature.name,
                f"values of {feature.dtype}, as in the contract",
                f"others in {place}; delete that object if they are of no use",
            ) from None
    return own, mask


def _nothing(features: Sequence[Feature]) -> History:
    none = np.empty(0)
    values = {f.name: np.empty(0, dtype=numpy_dtype(f.dtype)) for f in features}
    there = {f.name: np.empty(0, dtype=np.bool_) for f in features}
    return History(np.empty(0, dtype=np.str_), none, none, values, there)


def _seconds(table: core.Table, name: str) -> NDArray[np.float64]:
    """A column of times in epoch seconds; NaN if the table does not have it."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    micros = table[name].combine_chunks().cast(core.DataType.int64()).to_numpy()
    return np.asarray(micros / 1e6, dtype=np.float64)
