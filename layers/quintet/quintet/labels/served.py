"""Captured predictions as arrays: what labels are joined with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.tables import read_parquet
from quintet.columns import MAX_ID_BYTES, Array
from quintet.formats.arrow import column, is_text, text_bytes
from quintet.labels.ids import Ids, Index, hashes

__all__ = ["Part", "Served", "label_positions", "part_of", "served"]


@dataclass(frozen=True, slots=True)
class Served:
    """Scored rows of one version, each (event, row) once; all arrays are (rows,).

    `rows` is how many rows the event had; `row_ids` are b"" where rows have none. `times` are
    epoch seconds; `values` are columns of the table: numbers, or texts as UTF-8.
    """

    events: Ids
    keys: Ids
    rows: NDArray[np.int64]
    row_ids: Ids
    times: NDArray[np.float64]
    fallback: NDArray[np.bool_]
    values: dict[str, Array]

    def some(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Served:
        """Some of the rows."""
        return Served(
            self.events[chosen],
            self.keys[chosen],
            self.rows[chosen],
            self.row_ids[chosen],
            self.times[chosen],
            self.fallback[chosen],
            {name: values[chosen] for name, values in self.values.items()},
        )


#: scored rows of an object, and when each was served, in microseconds
Part = tuple[Served, NDArray[np.int64]]


def served(found: Iterable[Part | None], names: Sequence[str]) -> Served | None:
    """The scored rows of one version, from its objects of captures, with columns of them.

    A column that an object does not have is NaN there. None if nothing was scored.
    """
    some = [part for part in found if part is not None]
    if not some:
        return None
    parts = [part for part, _ in some]
    texts = {n for part in parts for n, v in part.values.items() if v.dtype.kind == "S"}

    def of(part: Served, name: str) -> Array:
        missing = np.full(len(part.keys), b"" if name in texts else np.nan)
        return part.values.get(name, missing)

    whole = Served(
        np.concatenate([part.events for part in parts]),
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.row_ids for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.fallback for part in parts]),
        {name: np.concatenate([of(part, name) for part in parts]) for name in names},
    )
    moments = np.concatenate([moment for _, moment in some])
    # what came twice is there as it was served last
    keys = hashes(whole.keys)
    order = np.lexsort((moments, keys))
    last = np.append(keys[order][1:] != keys[order][:-1], True)
    return whole if last.all() else whole.some(order[last])


def label_positions(rows: Served, labels: Index) -> NDArray[np.int64]:
    """Where each row's label is among the labels' ids, (rows,); -1 for a row without one.

    An id is that of an event with the row's number behind a point; of an event of one row also the
    event's alone; or the row's own. They are tried in this order.
    """
    found = labels.find(rows.keys)
    for ids, usable in ((rows.events, rows.rows == 1), (rows.row_ids, rows.row_ids != b"")):
        left = np.flatnonzero((found < 0) & usable)
        found[left] = labels.find(ids[left])
    return found


def part_of(body: bytes, names: Sequence[str]) -> Part | None:
    """The scored rows of an object, if it has some. Raises BadInput if it is damaged."""
    table = read_parquet(body).combine_chunks()
    held = set(table.column_names)

    def of(name: str) -> core.Array:
        return table[name].combine_chunks()

    scored = np.flatnonzero(text_bytes(of("outcome"), 8) == b"scored")
    if not len(scored):
        return None
    events = text_bytes(of("event"), MAX_ID_BYTES)[scored]
    numbers = _numbers(of("row"))[scored].astype(np.int64)
    moments = [
        of(name).cast(core.DataType.int64()).to_numpy()[scored]
        for name in ("event_time", "served_at")
    ]
    values: dict[str, Array] = {}
    for name in names:
        if name in held:
            array = of(name)
            is_words = is_text(array.type)
            own = text_bytes(array, MAX_ID_BYTES) if is_words else _numbers(array)
            values[name] = own[scored]
    part = Served(
        events,
        np.strings.add(np.strings.add(events, b"."), numbers.astype("S20")),
        _numbers(of("rows"))[scored].astype(np.int64),
        text_bytes(of("row_id"), MAX_ID_BYTES)[scored],
        moments[0] / 1e6,
        np.nan_to_num(_numbers(of("fallback"))[scored]).astype(np.bool_),
        values,
    )
    return part, moments[1]


def _numbers(array: core.Array) -> NDArray[np.float64]:
    """A column of numbers or booleans, NaN where it is null."""
    values, null = column("column", array)
    numbers = np.full(len(array), np.nan) if values.dtype == object else values.astype(np.float64)
    return numbers if null is None else np.where(null, np.nan, numbers)
