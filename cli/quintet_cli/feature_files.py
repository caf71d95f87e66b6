"""Reads files of stored features, CSV or Parquet, as rows checked against a contract."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arro3_io
from numpy.typing import NDArray

from quintet.columns import Array, Batch, numpy_dtype, shown
from quintet.columns.names import suggestion
from quintet.columns.tables import from_arrays, from_text
from quintet.contract import Contract, Feature, Scalar
from quintet.errors import BadInput, Refusal
from quintet.formats.arrow import arrow_errors, column
from quintet.formats.csv_rows import csv_rows
from quintet.formats.moments import EXPECTED, moment_of
from quintet.monitoring.skew import History
from quintet_publish.text_files import read_text

__all__ = ["FeatureFile", "FeatureRow", "history_of", "read"]

AT = "at"  # the column with the time that a row describes
KNOWN_AT = "known_at"  # the column with the time from which on a row's values were known

#: the numbers that DynamoDB can store
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_SMALLEST, _LARGEST = 1e-130, 9.9e125


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """Some features of one entity, and the time they describe (seconds since the epoch).

    `known_at` is since when they were known; None if the file does not say.
    """

    entity: str
    at: float
    values: dict[str, Scalar]
    known_at: float | None = None


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A file's valid rows, why the others are refused, and the columns that are not the model's."""

    features: tuple[str, ...]
    rows: list[FeatureRow]
    refusals: list[Refusal]
    left_out: tuple[str, ...] = ()

    @property
    def refused(self) -> int:
        """Return the number of refused rows."""
        return len({refusal.row for refusal in self.refusals})


@dataclass(slots=True)
class _Table:
    """Columns by name: text cells (None is missing), or arrays with their nulls."""

    cells: dict[str, list[str | None]] | None
    arrays: dict[str, Array]
    nulls: dict[str, Array]
    rows: int
    refusals: list[Refusal]

    @property
    def names(self) -> list[str]:
        return list(self.arrays if self.cells is None else self.cells)

    def values(self, name: str) -> list[Any]:
        """Return a column's values, None if missing."""
        if self.cells is not None:
            return self.cells[name]
        found = self.arrays[name].tolist()
        null = self.nulls.get(name)
        if null is not None:
            found = [None if gone else v for v, gone in zip(found, null.tolist(), strict=True)]
        return [None if isinstance(v, float) and math.isnan(v) else v for v in found]


def read(contract: Contract, path: Path, now: float) -> FeatureFile:
    """Read a file of stored features: the entity key, features, and optionally `at` and `known_at`.

    A missing value does not refuse the row: its other features are loaded. Other columns are left
    out, as a table may feed several models; not one whose name is nearly a feature's. Rows without
    `at` describe `now`, and rows without `known_at`, in a file that has it, are known since `now`.

    Raises:
        BadInput: the file cannot be read, or its columns are not in the contract.
    """
    stored = {feature.key: feature for feature in contract.stored}
    if contract.entity is None or not stored:
        raise BadInput.of("model", "one with stored features", contract.name)
    table = _parquet(path, stored) if path.suffix == ".parquet" else _csv(path)
    known_names = {contract.entity, AT, KNOWN_AT, *stored}
    others = tuple(name for name in table.names if name not in known_names)
    chosen = _chosen(contract, table.names, others)
    present = {
        f.name: np.array([value is not None for value in table.values(f.key)], dtype=np.bool_)
        for f in chosen
    }
    batch = _batch(contract, chosen, table)
    for feature in chosen:
        if feature.missing:  # also as a text such as "nan"
            present[feature.name] &= ~np.isnan(batch.columns[feature.name])
        _check(batch, feature, present[feature.name])
    moments = _moments(batch, table, now, AT)
    known = _moments(batch, table, now, KNOWN_AT) if KNOWN_AT in table.names else None
    for row, entity in enumerate(batch.entities or []):
        if not entity and batch.good[row]:
            batch.refuse(row, contract.entity, "the entity key", "nothing")
    ragged = {refusal.row for refusal in table.refusals}
    batch.good[np.array(list(ragged), dtype=np.int64)] = False
    refusals = table.refusals + [r for r in batch.refusals if r.row not in ragged]
    columns = {f.name: _plain(batch.columns[f.name]) for f in chosen}
    rows = []
    for row in np.flatnonzero(batch.good).tolist():
        values = {name: columns[name][row] for name in columns if present[name][row]}
        entity = (batch.entities or [])[row]
        rows.append(FeatureRow(entity, moments[row], values, known[row] if known else None))
    return FeatureFile(tuple(columns), rows, sorted(refusals, key=lambda r: r.row or 0), others)


def history_of(contract: Contract, found: FeatureFile) -> History:
    """Return a file's rows as columns: the offline source of the features that it has."""
    rows = found.rows
    values: dict[str, Array] = {}
    there: dict[str, NDArray[np.bool_]] = {}
    for name in found.features:
        there[name] = np.array([name in row.values for row in rows], dtype=np.bool_)
        values[name] = np.zeros(len(rows), dtype=numpy_dtype(contract.by_name[name].dtype))
        values[name][there[name]] = [row.values[name] for row in rows if name in row.values]
    known = [np.nan if row.known_at is None else row.known_at for row in rows]
    return History(
        np.array([row.entity for row in rows], dtype=np.str_),
        np.array([row.at for row in rows], dtype=np.float64),
        np.array(known, dtype=np.float64),
        values,
        there,
    )


def _chosen(contract: Contract, names: Sequence[str], others: Sequence[str]) -> list[Feature]:
    """Return the contract's stored features that the file has; `others` are no names of it."""
    stored = {feature.key: feature for feature in contract.stored}
    missing = [name for name in (contract.entity or "", *stored) if name not in names]
    refusals = [
        Refusal(None, name, f"one of {', '.join(missing)}{hint}", "another")
        for name in others
        if (hint := suggestion(name, missing))
    ]
    if contract.entity not in names:
        refusals.append(Refusal(None, contract.entity or "", "a column of that name", "none"))
    if not stored.keys() & set(names):
        refusals.append(Refusal(None, "columns", f"some of {', '.join(stored)}", "none of them"))
    if refusals:
        raise BadInput(refusals)
    return [stored[name] for name in names if name in stored]


def _batch(contract: Contract, chosen: Sequence[Feature], table: _Table) -> Batch:
    """Convert the columns to their dtypes, by the rules of a batch's input."""
    as_requested = replace(
        contract,
        features=tuple(
            # missing values are not stored: a default only stands in for them here
            replace(f, source="request", default="" if f.dtype == "string" else 0, max_age=None)
            for f in chosen
        ),
    )
    wanted = {contract.entity, *(f.key for f in chosen)}
    if table.cells is not None:
        return from_text(as_requested, {n: c for n, c in table.cells.items() if n in wanted})
    arrays = {n: a for n, a in table.arrays.items() if n in wanted}
    return from_arrays(as_requested, arrays, table.nulls)


def _check(batch: Batch, feature: Feature, present: Array) -> None:
    """Refuse values out of range or in no category, and numbers that the table cannot store."""
    values = batch.columns[feature.name]
    bad = np.zeros(batch.rows, dtype=np.bool_)
    expected = "a finite number"
    if values.dtype.kind in "fiu":
        least, most = feature.range or (None, None)
        size = np.abs(values.astype(np.float64))
        bad = ~np.isfinite(size) | (size > _LARGEST) | ((size > 0) & (size < _SMALLEST))
        bad |= False if least is None else values < least
        bad |= False if most is None else values > most
        expected += "" if least is None else f" of at least {least:g}"
        expected += "" if most is None else f" of at most {most:g}"
    if feature.categories is not None:
        allowed = set(feature.categories)
        bad |= np.array([value not in allowed for value in values.tolist()], dtype=np.bool_)
        expected = f"one of {', '.join(map(str, feature.categories[:10]))}"
    for row in np.flatnonzero(bad & present & batch.good).tolist():
        batch.refuse(row, feature.key, expected, shown(values[row], feature))


def _plain(values: Array) -> list[Any]:
    """Convert values to Python's; a float32 to the shortest number that equals it."""
    if values.dtype.kind == "f" and values.dtype.itemsize < 8:
        return [float(str(value)) for value in values]
    plain: list[Any] = values.tolist()
    return plain


def _moments(batch: Batch, table: _Table, now: float, name: str) -> list[float]:
    """Return the times in a column, `now` where there are none."""
    if name not in table.names:
        return [now] * batch.rows
    moments = []
    for row, value in enumerate(table.values(name)):
        moment = now
        if value is not None and value != "":
            try:
                moment = moment_of(value)
            except ValueError as error:
                batch.refuse(row, name, EXPECTED, f"{shown(value)} {error}".rstrip())
        moments.append(moment)
    return moments


def _csv(path: Path) -> _Table:
    try:
        lines = [cells for _, cells in csv_rows(read_text(path))]
    except csv.Error as error:
        raise BadInput.of(path.name, "CSV", str(error)) from None
    if len(lines) < 2:
        raise BadInput.of(path.name, "a header and at least one row", f"{len(lines)} lines")
    names, rows = [name or "" for name in lines[0]], lines[1:]
    if len(set(names)) < len(names):
        raise BadInput.of(path.name, "each column once", "one twice")
    refusals = []
    for number, cells in enumerate(rows):
        if len(cells) != len(names):
            refusals.append(Refusal(number, "row", f"{len(names)} cells", f"{len(cells)}"))
            rows[number] = [None] * len(names)
    columns = {name: [*cells] for name, cells in zip(names, zip(*rows, strict=True), strict=True)}
    return _Table(columns, {}, {}, len(rows), refusals)


def _parquet(path: Path, stored: dict[str, Feature]) -> _Table:
    arrays: dict[str, Array] = {}
    nulls: dict[str, Array] = {}
    with arrow_errors(path.name, "Parquet"):
        table = arro3_io.read_parquet(str(path)).read_all()
        if table.num_rows == 0:
            raise BadInput.of(path.name, "at least one row", "none")
        for name in table.column_names:
            found = table.column(name).combine_chunks()
            if core.DataType.is_temporal(found.type):
                found = _seconds(found)
            form = (stored[name].shape, stored[name].dtype) if name in stored else ()
            arrays[name], null = column(name, found, *form)
            if null is not None:
                nulls[name] = null
    return _Table(None, arrays, nulls, table.num_rows, [])


def _seconds(found: core.Array) -> core.Array:
    """Convert timestamps to seconds since the epoch."""
    wide = found.cast(core.DataType.timestamp("us")).cast(core.DataType.int64())
    values, null = column(AT, wide)
    seconds = np.where(False if null is None else null, np.nan, values / 1e6)
    return core.Array.from_numpy(seconds)
