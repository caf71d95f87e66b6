"""Aggregates as mergeable partials: one row is a partial, and so is a whole window.

Partials are columns over groups (window start, entity). `reduce` merges the groups with the same
key, whether they are rows or older partials; no other function aggregates. Every column is a sum,
an extreme or a moment, so the order and the batch boundaries do not matter (except for float
rounding).
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Scalar, Stream
from quintet.streaming.sketches import estimate, sketch

__all__ = [
    "MAX_TEXT",
    "Partials",
    "concatenate",
    "pack",
    "reduce",
    "select",
    "statistics",
    "units",
    "unpack",
    "values",
]

#: characters of a text that are read
MAX_TEXT = 1000

_MOST = float(np.finfo(np.float64).max)
#: the statistics that each kind of aggregate needs besides the number of rows
_NEEDS: dict[str, tuple[str, ...]] = {
    "count": (),
    "sum": ("sum",),
    "mean": ("sum",),
    "min": ("min",),
    "max": ("max",),
    "stddev": ("mean", "m2"),
    "last": ("last",),
    "distinct": ("distinct",),
}


@dataclass(slots=True)
class Partials:
    """The statistics of groups so far; a key may occur several times until `reduce`.

    `starts` (groups,) are the windows' starts in epoch seconds. `columns` holds (groups,) `n`
    and, by "<statistic>:<field>", the statistics that the aggregates are computed from; with `last`
    also the `time` and `sequence` of the last row, the sequence number as received.
    """

    starts: NDArray[np.float64]
    entities: list[str]
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.entities)


def statistics(stream: Stream) -> tuple[str, ...]:
    """The columns of a stream's partials: `stream.compiled[statistics]`."""
    found = {"n": None}
    for aggregate in stream.aggregates:
        for kind in _NEEDS[aggregate.how]:
            found[f"{kind}:{aggregate.of}"] = None
    if any(name.startswith("last:") for name in found):
        found |= {"time": None, "sequence": None}
    return tuple(found)


def _parts_of_names(stream: Stream) -> list[tuple[str, str, str]]:
    """The columns of a stream's partials, each with its statistic and its field."""
    return [(name, *name.partition(":")[::2]) for name in stream.compiled[statistics]]


def units(
    stream: Stream,
    *,
    starts: NDArray[np.float64],
    entities: Sequence[str],
    fields: Mapping[str, Array],
    times: NDArray[np.float64],
    sequences: Callable[[], Array],
) -> Partials:
    """Rows as partials of one row each. All are (rows,); `sequences` gives texts, as objects."""
    columns: dict[str, Array] = {}
    for name, kind, field in stream.compiled[_parts_of_names]:
        if kind == "n":
            columns[name] = _ones(len(entities))
        elif kind == "m2":
            columns[name] = np.zeros(len(entities))
        elif kind == "time":
            columns[name] = times
        elif kind == "sequence":
            columns[name] = sequences()
        elif kind in ("last", "distinct"):
            columns[name] = _scalars(fields[field])
        else:
            columns[name] = fields[field]
    return Partials(starts, list(entities), columns)


@lru_cache(maxsize=64)
def _ones(rows: int) -> NDArray[np.int64]:
    """A count of 1 for each of so many rows; shared, so it cannot be changed."""
    found = np.ones(rows, dtype=np.int64)
    found.flags.writeable = False
    return found


def concatenate(parts: Sequence[Partials]) -> Partials:
    """Concatenate partials of the same statistics."""
    if len(parts) == 1:
        return parts[0]
    return Partials(
        np.concatenate([part.starts for part in parts]),
        [entity for part in parts for entity in part.entities],
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
    )


def select(partials: Partials, chosen: NDArray[Any]) -> Partials:
    """Some of the groups, by a mask or by positions."""
    positions = np.arange(len(partials))[chosen]
    return Partials(
        partials.starts[positions],
        [partials.entities[position] for position in positions.tolist()],
        {name: column[positions] for name, column in partials.columns.items()},
    )


def reduce(partials: Partials) -> Partials:
    """One group for each key. Among equal times the later position is the last."""
    given = len(partials.entities)
    if given == 0 or (given == 1 and not _sketched((*partials.columns,))):
        return partials
    code, first = _groups(partials)
    old, groups = partials.columns, len(first)
    rows = old["n"]
    n = np.zeros(groups, dtype=np.int64)
    np.add.at(n, code, rows)
    last = _last(old["time"], code) if "time" in old else None
    new: dict[str, Array] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for name, column in old.items():
            kind, _, field = name.partition(":")
            if kind == "n":
                new[name] = n
            elif kind == "sum":
                new[name] = _finite(np.bincount(code, column, groups))
            elif kind in ("min", "max"):
                new[name] = np.full(groups, np.inf if kind == "min" else -np.inf)
                (np.minimum if kind == "min" else np.maximum).at(new[name], code, column)
            elif kind == "mean":
                mean = np.bincount(code, rows * column, groups) / n
                # for many groups at once: Chan, Golub, LeVeque 1979, equation 2.1
                spread = old[f"m2:{field}"] + rows * (column - mean[code]) ** 2
                new[name] = _finite(mean)
                new[f"m2:{field}"] = _finite(np.bincount(code, spread, groups))
            elif kind == "distinct":
                new[name] = _distinct(column, code, groups)
            elif kind != "m2":
                assert last is not None
                new[name] = column[last]
    return Partials(partials.starts[first], [partials.entities[row] for row in first.tolist()], new)


@lru_cache(maxsize=64)
def _sketched(columns: tuple[str, ...]) -> bool:
    """Whether the values of a column become a sketch, also those of one row."""
    return any(name.startswith("distinct:") for name in columns)


def values(stream: Stream, partials: Partials) -> dict[str, list[Scalar]]:
    """Each aggregate's values, by name, (groups,). The deviation is the population's."""
    columns, n = partials.columns, partials.columns["n"]
    found: dict[str, list[Scalar]] = {}
    for aggregate in stream.aggregates:
        how, of = aggregate.how, aggregate.of
        if how == "count":
            found[aggregate.name] = n.tolist()
        elif how == "mean":
            found[aggregate.name] = (columns[f"sum:{of}"] / n).tolist()
        elif how == "stddev":
            found[aggregate.name] = np.sqrt(columns[f"m2:{of}"] / n).tolist()
        elif how == "distinct":
            found[aggregate.name] = [estimate(content) for content in columns[f"distinct:{of}"]]
        else:
            found[aggregate.name] = columns[f"{how}:{of}"].tolist()
    return found


def pack(columns: Mapping[str, Array]) -> dict[str, list[Any]]:
    """Columns of reduced partials as JSON-ready lists."""
    return {
        name: [base64.b64encode(content).decode() for content in column]
        if name.startswith("distinct:")
        else column.tolist()
        for name, column in columns.items()
    }


def unpack(
    names: Sequence[str], packed: Mapping[str, Sequence[Any]], rows: int
) -> dict[str, Array]:
    """The columns from the output of `pack`.

    Raises:
        KeyError, TypeError, ValueError: it is not an output of `pack`.
    """
    columns = {}
    for name in names:
        items = packed[name]
        if type(items) is not list or len(items) != rows:
            raise ValueError(f"{name} is not a list of {rows}")
        kind = name.partition(":")[0]
        if kind == "n":
            column = np.array(items, dtype=np.int64)
            if rows and column.min() < 1:
                raise ValueError("n counts rows")
        elif kind in ("last", "sequence", "distinct"):
            column = np.empty(rows, dtype=object)
            column[:] = _objects(kind, items)
        else:
            column = np.array(items, dtype=np.float64)
            if not np.isfinite(column).all():
                raise ValueError(f"{name} is not finite")
        if column.shape != (rows,):
            raise ValueError(f"{name} is nested")
        columns[name] = column
    return columns


def _scalars(column: Array) -> Array:
    """Numbers and texts as objects, texts cut to the length that is kept."""
    items = [item[:MAX_TEXT] if isinstance(item, str) else item for item in column.tolist()]
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


def _objects(kind: str, items: Sequence[Any]) -> list[Any]:
    if kind == "distinct":
        return [base64.b64decode(item, validate=True) for item in items]
    allowed = {str} if kind == "sequence" else {str, float, int}
    if not set(map(type, items)) <= allowed:
        raise ValueError(f"{kind} holds something else")
    if kind == "sequence" and not all(map(str.isdecimal, items)):
        raise ValueError("a sequence number has digits alone")
    return list(items)


def _groups(partials: Partials) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The group of each row, and the first row of each group."""
    rows = len(partials)
    place: defaultdict[str, int] = defaultdict(count().__next__)
    code = np.fromiter(map(place.__getitem__, partials.entities), np.int64, rows)
    starts = partials.starts
    if starts.min() != starts.max():
        window = np.unique(starts, return_inverse=True)[1]
        code = np.unique(window * len(place) + code, return_inverse=True)[1]
    first = np.full(int(code.max()) + 1, rows, dtype=np.int64)
    np.minimum.at(first, code, np.arange(rows))
    return code, first


def _last(times: NDArray[np.float64], code: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of each group's last row; a stable sort keeps the order of equal times."""
    order = np.lexsort((times, code))
    ends = np.flatnonzero(np.append(np.diff(code[order]) != 0, True))
    return order[ends]


def _distinct(column: Array, code: NDArray[np.int64], groups: int) -> Array:
    """A sketch for each group; each pair of group and value is added once."""
    items: list[list[Any]] = [[] for _ in range(groups)]
    for group, item in dict.fromkeys(zip(code.tolist(), column.tolist(), strict=True)):
        items[group].append(item)
    sketches = np.empty(groups, dtype=object)
    sketches[:] = [sketch(group) for group in items]
    return sketches


def _finite(column: Array) -> NDArray[np.float64]:
    """Limit values to the range of a float64: JSON has no infinity."""
    if np.isfinite(column).all():
        return column
    return np.nan_to_num(column, nan=0.0, posinf=_MOST, neginf=-_MOST)
