"""The history of stored features, kept beside captures: what `quintet features load` read.

The feature store holds the newest values only. Each load adds an object with all valid rows of its
file, below the entity key that the features are stored by: `entity`, `at`, `known_at` if the file
has it, and the features by name. It is what served features are compared with (skew).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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


def read_history(objects: CaptureObjects, key: str, features: Sequence[Feature]) -> History:
    """All loads of some features that are stored by an entity key, in their order.

    Raises:
        Transient: an object could not be read.
        BadInput: a feature was loaded with values that do not fit its type of now.
    """
    stored = {one: objects.get(one) for one in objects.keys(_folder(key))}
    held = {one: found for one, found in stored.items() if found is not None}
    keys, tables = list(held), [read_parquet(found.body) for found in held.values()]
    rows = sum(table.num_rows for table in tables)
    entities = [np.array(t["entity"].to_pylist(), dtype=np.str_) for t in tables if t.num_rows]
    values: dict[str, Array] = {}
    there: dict[str, NDArray[np.bool_]] = {}
    for feature in features:
        values[feature.name] = np.zeros(rows, dtype=numpy_dtype(feature.dtype))
        there[feature.name] = np.zeros(rows, dtype=np.bool_)
        first = 0
        for number, table in enumerate(tables):
            place = slice(first, first + table.num_rows)
            first += table.num_rows
            if f"feature_{feature.name}" in table.column_names:
                found = table[f"feature_{feature.name}"].combine_chunks()
                some, null = column(feature.name, found, (), feature.dtype)
                mask = np.ones(len(some), dtype=np.bool_) if null is None else ~null
                there[feature.name][place] = mask
                try:
                    values[feature.name][place][mask] = some[mask]
                except (TypeError, ValueError):
                    raise BadInput.of(
                        feature.name,
                        f"values of {feature.dtype}, as in the contract",
                        f"others in {keys[number]}; delete that object if they are of no use",
                    ) from None
    return History(
        np.concatenate(entities) if entities else np.empty(0, dtype=np.str_),
        np.concatenate([_seconds(table, "at") for table in tables] or [np.empty(0)]),
        np.concatenate([_seconds(table, "known_at") for table in tables] or [np.empty(0)]),
        values,
        there,
    )


def _seconds(table: core.Table, name: str) -> NDArray[np.float64]:
    """A column of times in epoch seconds; NaN if the table does not have it."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    micros = table[name].combine_chunks().cast(core.DataType.int64()).to_numpy()
    return np.asarray(micros / 1e6, dtype=np.float64)
