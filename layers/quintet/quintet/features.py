"""Stored features: the port to their store, a cache, and the join with its freshness rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from quintet.columns import Array, Batch, no_rows, numpy_dtype
from quintet.contract import Contract, Feature, Scalar
from quintet.errors import Transient

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FeatureCache",
    "FeatureSource",
    "Joined",
    "MemoryFeatures",
    "StoredValue",
    "join",
    "no_ages",
    "unavailable",
]


class StoredValue(NamedTuple):
    """A feature's value, the moment it describes, and the moment when the store took it.

    Moments are in seconds since the epoch; `known` is 0 if the store does not say.
    """

    value: Scalar
    at: float
    known: float = 0.0


class StoredRow(dict[str, StoredValue]):
    """The stored values of an entity, kept by a cache, with what the last join made of them."""

    __slots__ = ("arrays", "plan")

    def __init__(self, values: Mapping[str, StoredValue]) -> None:
        super().__init__(values)
        self.plan: object = None
        self.arrays: _RowArrays | None = None


class FeatureSource(Protocol):
    """A source of stored features."""

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """The stored values for the entities of a key: entity -> feature -> value.

        `entities` has no duplicates. An entity or feature that is not stored is left out.

        Raises:
            Transient: the store could not be read.
        """
        ...


class MemoryFeatures:
    """A feature source in memory."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], dict[str, StoredValue]] = {}

    def put(
        self, key: str, entity: str, name: str, value: Scalar, at: float, *, known: float = 0.0
    ) -> None:
        """Store one value."""
        self.values.setdefault((key, entity), {})[name] = StoredValue(value, at, known)

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        wanted = set(names)
        found = {}
        for entity in entities:
            stored = self.values.get((key, entity), {})
            if some := {name: value for name, value in stored.items() if name in wanted}:
                found[entity] = some
        return found


class FeatureCache:
    """A feature source that caches another one's answers for `seconds`.

    An entity without stored values is cached too; above `most` entities, the oldest are dropped.
    Ages stay correct: they count from the moment that a value describes, not from when it was read.
    """

    def __init__(
        self,
        source: FeatureSource,
        *,
        seconds: float,
        most: int = 10_000,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._most = most
        self._clock = clock
        #: each row with its expiry; the oldest first
        self._rows: dict[tuple[str, Sequence[str], str], tuple[float, StoredRow]] = {}

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        wanted, now = tuple(names), self._clock()
        found: dict[str, dict[str, StoredValue]] = {}
        missed = []
        for entity in entities:
            held = self._rows.get((key, wanted, entity))
            if held is None or now >= held[0]:
                missed.append(entity)
            elif held[1]:
                found[entity] = held[1]
        if missed:
            read = self._source.fetch(key, missed, names)
            rows = {entity: StoredRow(read.get(entity, _NOTHING)) for entity in missed}
            self._remember({(key, wanted, entity): row for entity, row in rows.items()})
            found |= {entity: row for entity, row in rows.items() if row}
        return found

    def _remember(self, read: dict[tuple[str, Sequence[str], str], StoredRow]) -> None:
        until = self._clock() + self._seconds
        for key, row in read.items():
            self._rows.pop(key, None)
            self._rows[key] = (until, row)
        while len(self._rows) > self._most:
            self._rows.pop(next(iter(self._rows)), None)


@lru_cache(maxsize=64)
def no_ages(rows: int) -> NDArray[np.float64]:
    """The ages of rows of a contract without stored features, (rows, 0)."""
    return np.empty((rows, 0))


@dataclass(slots=True, eq=False, repr=False)
class Joined:
    """A batch with its stored features.

    `fallback` (rows,) is True where the fallback rule must answer. `ages` (rows, features) are the
    ages of the stored features in seconds, float64, NaN without a value.
    """

    batch: Batch
    fallback: NDArray[np.bool_]
    ages: NDArray[np.float64]


class _JoinPlan:
    """The join's view of a contract; `dtype` is None if each value must be checked alone.

    `oldest` (features,) is the age past which a stored feature is unusable, in seconds.
    """

    def __init__(self, contract: Contract) -> None:
        stored = contract.stored
        self.captured = contract.capture is not None
        self.names = tuple(feature.name for feature in stored)
        # of one name alone, itemgetter gives no tuple
        self.values: Callable[[Any], tuple[StoredValue, ...]] = (
            itemgetter(*self.names) if len(self.names) > 1 else lambda row: (row[self.names[0]],)
        )
        self.oldest = np.array(
            [np.inf if f.max_age is None or f.when_stale == "serve" else f.max_age for f in stored]
        )
        plain = len({f.dtype for f in stored}) == 1 and not any(f.shape for f in stored)
        dtype = numpy_dtype(stored[0].dtype) if plain else None
        self.dtype = dtype if dtype is not None and dtype.kind == "f" else None


def join(contract: Contract, batch: Batch, source: FeatureSource, now: float) -> Joined:
    """Fill the stored features' columns of `batch`, by the contract's freshness rules.

    The contract has such features.

    Raises:
        Transient: the source could not be read.
    """
    assert contract.entity is not None and batch.entities is not None
    plan: _JoinPlan = contract.compiled[_JoinPlan]
    place = {entity: position for position, entity in enumerate(dict.fromkeys(batch.entities))}
    entities = [entity for entity in place if entity]
    found = source.fetch(contract.entity, entities, plan.names) if entities else {}
    stored = [found.get(entity, _NOTHING) for entity in place]
    if len(stored) == 1 and type(stored[0]) is StoredRow:
        arrays = stored[0].arrays if stored[0].plan is plan else _arrays(plan, stored[0])
        if arrays is not None and arrays.newest <= now < arrays.until:
            return _joined(plan, batch, arrays, now)
    several = len(place) < batch.rows  # some entity has several rows
    where = np.array([place[entity] for entity in batch.entities]) if several else slice(None)
    if plan.captured:
        batch.known = _known(plan, stored, where)
    if plain := _plain(plan, stored):
        values, moments = plain
        batch.stacked[plan.names] = values[where]
    else:
        columns, moments = _value_by_value(contract.stored, stored)
        for feature, column in zip(contract.stored, columns, strict=True):
            batch.columns[feature.name] = column[where]
    joined = Joined(batch, no_rows(batch.rows), np.maximum(now - moments, 0.0)[where])
    unusable = ~(joined.ages <= plan.oldest)  # True for NaN
    if unusable.any():
        for position in np.flatnonzero(unusable.any(axis=0)).tolist():
            _settle(joined, contract.stored[position], position, unusable[:, position])
    return joined


_NAN = float("nan")
_NOTHING: dict[str, StoredValue] = {}
_ABSENT = StoredValue(0, _NAN)


@dataclass(slots=True, eq=False, repr=False)
class _RowArrays:
    """The stored values of one entity as arrays, (1, features), and when they were taken.

    From `newest` until `until` (epoch seconds) no age is negative, and none past its limit.
    `known` is None if the store does not say, or the contract has no `capture`.
    """

    values: Array
    moments: NDArray[np.float64]
    known: NDArray[np.float64] | None
    newest: float
    until: float


def _arrays(plan: _JoinPlan, row: StoredRow) -> _RowArrays | None:
    """The arrays of a row, which it keeps; None if a value is missing or not a number."""
    row.plan, row.arrays = plan, None
    if row.keys() >= set(plan.names) and (plain := _plain(plan, [row])):
        values, moments = plain
        known = _known(plan, [row], slice(None)) if plan.captured else None
        until = float((moments + plan.oldest).min())
        row.arrays = _RowArrays(values, moments, known, float(moments.max()), until)
    return row.arrays


def _joined(plan: _JoinPlan, batch: Batch, arrays: _RowArrays, now: float) -> Joined:
    """The join of rows of one entity, none of whose values is missing or too old."""
    rows, values, known = batch.rows, arrays.values, arrays.known
    ages = now - arrays.moments
    if rows == 1:
        values = values.copy()
    else:
        values, ages = values.repeat(rows, axis=0), ages.repeat(rows, axis=0)
        known = None if known is None else known.repeat(rows, axis=0)
    batch.stacked[plan.names] = values
    batch.known = known
    return Joined(batch, no_rows(rows), ages)


def _plain(
    plan: _JoinPlan, stored: Sequence[dict[str, StoredValue]]
) -> tuple[Array, NDArray[np.float64]] | None:
    """Values and moments, (entities, features), if all values are numbers.

    The moment of a value that is not stored is NaN.
    """
    try:
        items = [*chain.from_iterable(map(plan.values, stored))]
    except KeyError:  # some are not stored
        items = [row.get(name, _ABSENT) for row in stored for name in plan.names]
    numbers, at, _ = zip(*items, strict=True)
    if plan.dtype is None or not set(map(type, numbers)) <= {float, int}:
        return None
    try:
        values = np.array(numbers, dtype=plan.dtype)
    except OverflowError:
        return None
    moments = np.array(at, dtype=np.float64)
    shape = (len(stored), len(plan.names))
    return values.reshape(shape), moments.reshape(shape)


def _known(
    plan: _JoinPlan, stored: Sequence[dict[str, StoredValue]], where: NDArray[np.int64] | slice
) -> NDArray[np.float64] | None:
    """When the store took the values of each row, (rows, features); None if it says for none."""
    known = [row.get(name, _ABSENT).known for row in stored for name in plan.names]
    if not any(known):
        return None
    taken: NDArray[np.float64] = np.array(known).reshape(len(stored), len(plan.names))
    return taken[where]


def unavailable(contract: Contract, batch: Batch) -> Joined:
    """The batch while its feature source cannot be read: the fallback rule answers every row.

    Raises:
        Transient: the contract has no fallback rule.
    """
    if contract.fallback is None:
        raise Transient("the feature store cannot be read now, and the model has no fallback rule")
    for feature in contract.stored:
        batch.columns[feature.name] = _filler(feature, batch.rows)
    ages = np.full((batch.rows, len(contract.stored)), np.nan)
    return Joined(batch, np.ones(batch.rows, dtype=np.bool_), ages)


def _filler(feature: Feature, rows: int) -> Array:
    dtype = numpy_dtype(feature.dtype)
    return np.full((rows, *feature.shape), "" if dtype.kind == "O" else 0, dtype=dtype)


def _value_by_value(
    features: Sequence[Feature], stored: Sequence[dict[str, StoredValue]]
) -> tuple[list[Array], NDArray[np.float64]]:
    """The columns of features, by entity, and moments, (entities, features).

    A moment is NaN if there is no value, or one that is not of the contract's kind.
    """
    columns = [_filler(feature, len(stored)) for feature in features]
    moments = np.full((len(stored), len(features)), _NAN)
    for row, values in enumerate(stored):
        for position, feature in enumerate(features):
            item = values.get(feature.name)
            if item is None:
                continue
            try:
                columns[position][row] = item.value
                moments[row, position] = item.at
            except (ValueError, OverflowError):
                pass  # treated as missing
    return columns, moments


def _settle(joined: Joined, feature: Feature, position: int, unusable: NDArray[np.bool_]) -> None:
    """Apply the feature's `when_stale` to rows whose value is missing or too old."""
    batch = joined.batch
    if feature.when_stale == "fallback":
        joined.fallback = joined.fallback | unusable
        return
    filled = unusable
    if feature.when_stale == "refuse":  # of values that are too old; missing ones may be NaN
        filled = unusable & np.isnan(joined.ages[:, position]) & bool(feature.missing)
    if feature.fill is not None:
        batch.columns[feature.name][filled] = feature.fill
        unusable = unusable & ~filled
    fresh = "" if feature.max_age is None else f" no older than {feature.max_age:g} s"
    for row in np.flatnonzero(unusable & batch.good).tolist():
        age = joined.ages[row, position]
        got = "nothing" if np.isnan(age) else f"one {age:.0f} s old"
        batch.refuse(row, feature.key, f"a stored value{fresh}", got)
