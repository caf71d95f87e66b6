"""Impressions as a table to learn from: a row for each item that was shown, with what became of it.

Features are those that the model saw when it ranked, from captures; nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.tables import moments
from quintet.feedback.table import Feedback
from quintet_cli.captures_files import joined
from quintet_cli.impressions.logged import Logged, Shown
from quintet_cli.impressions.outcomes import Outcomes, outcomes

__all__ = ["Exported", "exported"]

#: the columns of the types of feedback
_COLUMNS = {"view": "viewed", "click": "clicked", "purchase": "purchased"}

_TEXT, _INT = core.DataType.string(), core.DataType.int64()


class Exported(NamedTuple):
    """The rows, of one model; None without any. `counts` are those of impressions and rows, and
    `feedback` as `outcomes` counts it."""

    rows: core.Table | None
    counts: dict[str, int]
    feedback: dict[str, int]


def exported(hours: Iterable[Logged], feedback: Feedback, now: float) -> Exported:
    """The items of impressions whose window is over at `now`, in epoch seconds, each with the
    feedback inside its window.

    `counts` are of the `impressions` exported, those that are `open`, the `rows`, and those
    `without_features`: what the model did not rank, such as popular items.

    Raises:
        StageError: a feature has another type in another version.
    """
    shown, tables, bare = [], [], 0
    for hour in hours:
        shown.append(hour.shown)
        done = hour.shown.closes <= now
        rows = np.flatnonzero(done[hour.shown.answer])
        at = hour.rows_of(hour.shown.answer[rows], hour.shown.item[rows])
        bare += int(np.count_nonzero(at < 0))
        tables.append(_table(hour, rows, at))
    together = Shown.joined(shown)
    closed = together.closes <= now
    found = outcomes(together, feedback, now)
    rows = np.flatnonzero(closed[together.answer])
    counts = {
        "impressions": int(np.count_nonzero(closed)),
        "open": int(np.count_nonzero(~closed)),
        "rows": len(rows),
        "without_features": bare,
    }
    if not len(rows):
        return Exported(None, counts, found.counts)
    return Exported(_labelled(joined(tables), found, rows), counts, found.counts)


def _table(hour: Logged, rows: NDArray[np.int64], at: NDArray[np.int64]) -> core.Table:
    """Some shown items of an hour, by their numbers, with the rows `at` which they were ranked."""
    shown, answer = hour.shown, hour.shown.answer[rows]
    documents = [hour.documents[number] for number in answer.tolist()]
    candidates = [one["candidates"] or {} for one in documents]
    count = len(rows)
    events, users = (
        [one.decode() for one in values[answer].tolist()] for values in (shown.events, shown.users)
    )
    columns: dict[str, Any] = {
        "impression": core.Array(events, _TEXT),
        "time": core.Array.from_numpy(moments(shown.times[answer])),
        "closes": core.Array.from_numpy(moments(shown.closes[answer])),
        "user": core.Array(users, _TEXT),
        "item": core.Array.from_numpy(shown.item[rows]),
        "position": core.Array.from_numpy(shown.position[rows]),
        "propensity": core.Array.from_numpy(shown.propensity[rows]),
        "explored": core.Array([one["explored"] for one in documents], core.DataType.bool()),
        "step": core.Array([one["step"] for one in documents], _TEXT),
        "version": core.Array.from_numpy(np.full(count, hour.contract.version)),
        "candidates_version": core.Array([one.get("version") for one in candidates], _INT),
        "candidates_run": core.Array([one.get("run") for one in candidates], _TEXT),
    }
    index = core.Array([None if one < 0 else one for one in at.tolist()], _INT)
    if hour.rows.num_rows:
        names = hour.rows.column_names
        columns |= {name: hour.rows[name].combine_chunks().take(index) for name in names}
    return core.Table.from_pydict(columns)


def _labelled(table: core.Table, found: Outcomes, rows: NDArray[np.int64]) -> core.Table:
    """The table with what became of its items, before their features."""
    labels = {}
    for name, column in _COLUMNS.items():
        first = found.first[name][rows]
        times = np.where(np.isnan(first), 0, first)
        labels[column] = core.Array.from_numpy(~np.isnan(first))
        index = core.Array([None if one else at for at, one in enumerate(np.isnan(first))], _INT)
        labels[f"{column}_at"] = core.Array.from_numpy(moments(times)).take(index)
    held = {name: table[name].combine_chunks() for name in table.column_names}
    features = {name: held.pop(name) for name in list(held) if name.startswith("feature_")}
    return core.Table.from_pydict({**held, **labels, **features})
