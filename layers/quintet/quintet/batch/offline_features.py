"""Point-in-time stored features: files of their history, joined as of the end of a partition.

A run over January that is started in June must not see later values. So a request may name files
with the history of the features: Parquet with the entity key, `at` (the time that a row
describes) and any of the model's stored features. For each entity and feature, the run uses the
last value before the file's time and does not read the feature store.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.batch.input_inspection import inspect_each
from quintet.batch.input_listing import ListedInput, folders, list_prefix
from quintet.batch.inputs import InputFile, naming
from quintet.batch.plans import Plan
from quintet.batch.requests import RunRequest
from quintet.batch.stores import InputBucket, PinnedSource
from quintet.columns import Array, Batch, numpy_dtype
from quintet.contract import Contract, Feature
from quintet.errors import BadInput
from quintet.features import FeatureSource, StoredValue
from quintet.formats.arrow import arrow_errors, column, is_text
from quintet.formats.byte_streams import parquet_file
from quintet.formats.chunks import arrays_batch
from quintet.formats.inspection import cut, inspect
from quintet.formats.moments import EXPECTED, hint, plausible
from quintet.formats.parquet import read_footer
from quintet.formats.parquet_rows import parquet_schema, record_batches
from quintet.formats.projection import project

__all__ = ["AT", "as_of", "find_offline_features", "read_offline_features"]

#: the column with the time that a row describes
AT = "at"
#: folders with these names date the rows below them
DATED = ("year", "month", "day", "date", "dt", "ds")


# ---- time -----------------------------------------------------------------------------------


def as_of(plan: Plan, key: str) -> float:
    """The time as of which a file's features are taken, in epoch seconds.

    It is the end of the partition in the file's folders, in UTC, but at most the run's start.
    """
    named = {pair.partition("=")[0].casefold() for pair in (plan.partition or "").split("/")}
    dated = {}
    for pair in folders(key):
        name, _, value = pair.partition("=")
        name = name.casefold()
        if name in DATED or name in named:
            dated[name] = value
    ends = [datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp() for d in _ends(dated)]
    return min([*ends, datetime.fromisoformat(plan.started).timestamp()])


def _ends(dated: Mapping[str, str]) -> Iterator[date]:
    """The first day after each year, month or day in the folders; invalid dates are ignored."""
    parts = (dated.get(name, "") for name in ("year", "month", "day"))
    apart = "-".join(part.zfill(2) for part in parts if part.isdecimal())
    whole = (value for value in dated.values() if len(value) > len("2026"))
    for text in (apart, *whole):
        if not re.fullmatch(r"\d{4}(-\d\d){0,2}", text):
            continue
        with suppress(ValueError, OverflowError):
            first = date.fromisoformat(text + "0001-01-01"[len(text) :])
            days = {4: 365 + isleap(first.year), 7: monthrange(first.year, first.month)[1], 10: 1}
            yield first + timedelta(days[len(text)])


# ---- files ------------------------------------------------------------------------------------


def find_offline_features(
    request: RunRequest, contract: Contract, inbox: InputBucket
) -> list[InputFile]:
    """Find and pin the files of stored features that a request names.

    Raises:
        BadInput: there are no files, or some do not hold stored features.
        Transient: a store could not be read.
    """
    if request.features is None:
        return []
    if not contract.stored:
        raise BadInput.of("features", "none, as the model has no stored features", "a prefix")
    found = list_prefix(inbox, request.bucket, request.features, "features")
    items = [item for item in found.items if item.size]
    if not items:
        raise BadInput.of("features", f"Parquet files in {request.features}", "none")

    return inspect_each(items, partial(_inspected, contract, inbox))


def _inspected(contract: Contract, inbox: InputBucket, item: ListedInput) -> InputFile:
    snapshot = inbox.snapshot(item.bucket, item.key, None)
    known = _as_requested(contract)
    found = inspect(known, PinnedSource(inbox, snapshot), snapshot.key)
    columns = found.layout.columns
    if found.footer is None:
        raise BadInput.of("the file", "Parquet", found.layout.format)
    kinds = parquet_schema(found.footer)
    for name in (contract.entity or "", AT):
        if columns.count(name) != 1:
            raise BadInput.of(name, "one column of that name", f"{columns.count(name)}")
    if not {feature.key for feature in contract.stored} & set(columns):
        names = ", ".join(feature.key for feature in contract.stored)
        raise BadInput.of("the file", f"some of the columns {names}", "none of them")
    kind = kinds.field(AT).type
    if not (core.DataType.is_temporal(kind) or core.DataType.is_numeric(kind) or is_text(kind)):
        raise BadInput.of(AT, "timestamps, seconds since 1970, or ISO 8601", "another type")
    rows = sum(part.slice.rows for part in cut(found, snapshot.size))
    return InputFile(input=snapshot, layout=found.layout, rows=rows)


def _as_requested(contract: Contract) -> Contract:
    """The contract for reading files of stored features, each of which is optional."""
    return replace(
        contract,
        features=tuple(
            # a missing value is not stored; a default would only replace it
            replace(f, source="request", default=_hollow(f), max_age=None, range=None)
            for f in contract.stored
        ),
    )


def _hollow(feature: Feature) -> Any:
    return "" if feature.dtype == "string" else 0


# ---- values -------------------------------------------------------------------------------------


def read_offline_features(
    contract: Contract,
    wanted: Mapping[float, Iterable[str]],
    sources: Iterable[InputFile],
    inbox: InputBucket,
) -> dict[float, FeatureSource]:
    """Read the features of the `wanted` entities, by the time as of which they are wanted.

    The files are read piece by piece, and only the last values are held in memory.

    Raises:
        BadInput: a file has changed, is damaged, or holds an invalid time or value.
        Transient: the inbox could not be read.
    """
    found = {moment: _AsOf(contract, moment, entities) for moment, entities in wanted.items()}
    for source in sources:
        with naming(source.input.key):
            for rows in _rows(contract, source, inbox):
                for one in found.values():
                    one.take(rows)
    return dict(found)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of a file; `there` marks the rows in which a feature has a value."""

    batch: Batch
    moments: NDArray[np.float64]
    there: dict[str, NDArray[np.bool_]]


class _AsOf:
    """The last values before a time: a `FeatureSource`, safe to share between threads."""

    def __init__(self, contract: Contract, moment: float, entities: Iterable[str]) -> None:
        self._moment = moment
        self._places = {entity: place for place, entity in enumerate(sorted(set(entities)))}
        count = len(self._places)
        self._at = {f.name: np.full(count, -np.inf) for f in contract.stored}
        self._values: dict[str, Array] = {
            f.name: np.empty((count, *f.shape), dtype=numpy_dtype(f.dtype)) for f in contract.stored
        }

    def take(self, rows: _Rows) -> None:
        """Keep values that are later than the known ones and before the time."""
        places = np.fromiter(
            map(self._places.get, rows.batch.entities or [], repeat(-1)), np.int64, rows.batch.rows
        )
        ours = np.flatnonzero((places >= 0) & (rows.moments < self._moment))
        # sort by time, so that the last value stays; at equal times, the later row wins
        ours = ours[np.argsort(rows.moments[ours], kind="stable")]
        for name, there in rows.there.items():
            chosen = ours[there[ours]]
            chosen = chosen[rows.moments[chosen] >= self._at[name][places[chosen]]]
            self._at[name][places[chosen]] = rows.moments[chosen]
            self._values[name][places[chosen]] = rows.batch.columns[name][chosen]

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        entities = [entity for entity in entities if entity in self._places]
        places = [self._places[entity] for entity in entities]
        found: dict[str, dict[str, StoredValue]] = {entity: {} for entity in entities}
        for name in names:
            moments = self._at[name][places].tolist()
            values = self._values[name][places]
            plain = list(values) if values.ndim > 1 else values.tolist()
            for entity, value, moment in zip(entities, plain, moments, strict=True):
                if moment > -np.inf:
                    found[entity][name] = StoredValue(value, moment)
        return found


def _rows(contract: Contract, file: InputFile, inbox: InputBucket) -> Iterator[_Rows]:
    source, known = PinnedSource(inbox, file.input), _as_requested(contract)
    footer = read_footer(source)
    wanted = [name for name in file.layout.columns if name in known.request_keys]
    row = 0
    for group in range(len(footer.groups)):
        with parquet_file(source, footer, project(footer, group, group + 1, ())) as view:
            for table in record_batches(view):
                yield _typed(known, wanted, table, row)
                row += table.num_rows


def _typed(contract: Contract, wanted: Sequence[str], table: core.RecordBatch, row: int) -> _Rows:
    arrays: dict[str, Array] = {}
    nulls: dict[str, Array] = {}
    there: dict[str, NDArray[np.bool_]] = {}
    for name in wanted:
        feature = contract.by_key.get(name)
        form = (feature.shape, feature.dtype) if feature else ()
        arrays[name], null = column(name, table.column(name), *form)
        if null is not None:
            nulls[name] = null
        if feature is not None:
            there[feature.name] = _there(arrays[name], null)
    batch = arrays_batch(contract, arrays, nulls, table.num_rows)
    if batch.refusals:
        bad = batch.refusals[0]
        raise BadInput.of(f"row {row + (bad.row or 0)}: {bad.field}", bad.expected, bad.got)
    return _Rows(batch, _moments(table.column(AT), row), there)


def _there(values: Array, null: Array | None) -> NDArray[np.bool_]:
    there = np.ones(len(values), dtype=np.bool_) if null is None else ~null
    if values.dtype.kind == "f":
        there &= ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    elif values.dtype.kind == "O":
        there &= np.array([value is not None for value in values], dtype=np.bool_)
    return there


def _moments(found: core.Array, row: int) -> NDArray[np.float64]:
    """Epoch seconds; a time without a zone is in UTC."""
    if core.DataType.is_temporal(found.type):
        with arrow_errors(AT, "moments"):
            wide = found.cast(core.DataType.timestamp("us")).cast(core.DataType.int64())
        values, null = column(AT, wide, ())
        moments = values / 1e6
    elif is_text(found.type):
        values, null = column(AT, found, ())
        moments = np.fromiter(map(_seconds, values), np.float64, len(values))
    else:
        values, null = column(AT, found, ())
        moments = values.astype(np.float64)
    if null is not None:
        moments = np.where(null, np.nan, moments)
    if not (fine := plausible(moments)).all():
        place = int(np.argmin(fine))
        seconds = float(moments[place])
        got = f"{seconds:.15g} {hint(seconds)}".rstrip()
        if np.isnan(seconds):
            got = "nothing, or something else"
        raise BadInput.of(f"row {row + place}: {AT}", EXPECTED, got)
    return np.asarray(moments, dtype=np.float64)


def _seconds(text: str | None) -> float:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return float("nan")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
