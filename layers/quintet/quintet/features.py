"""Stored features: the port to the feature store, and the join with its freshness rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, Batch, numpy_dtype
from quintet.contract import Contract, Feature, Scalar
from quintet.errors import Transient

__all__ = ["FeatureSource", "Joined", "MemoryFeatures", "StoredValue", "join", "unavailable"]


class StoredValue(NamedTuple):
    """A feature's value and the moment it describes, in seconds since the epoch."""

    value: Scalar
    at: float


class FeatureSource(Protocol):
    """Where stored features come from."""

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """What is stored for the entities of a key: entity -> feature -> value.

        `entities` has no duplicates. An entity or feature that is not stored is left out.

        Raises:
            Transient: the store could not be read.
        """
        ...


class MemoryFeatures:
    """A feature source in memory."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], dict[str, StoredValue]] = {}

    def put(self, key: str, entity: str, name: str, value: Scalar, at: float) -> None:
        """Store one value."""
        self.values.setdefault((key, entity), {})[name] = StoredValue(value, at)

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


@dataclass(slots=True)
class Joined:
    """A batch with its stored features.

    `fallback` (rows,) is True where the fallback rule must answer. `ages` holds, per stored
    feature, the age of each row's value in seconds, (rows,) float64, NaN where there is none.
    """

    batch: Batch
    fallback: NDArray[np.bool_]
    ages: dict[str, NDArray[np.float64]]


def join(contract: Contract, batch: Batch, source: FeatureSource, now: float) -> Joined:
    """Fill the stored features' columns of `batch`, by the contract's freshness rules.

    Raises:
        Transient: the source could not be read.
    """
    joined = Joined(batch, np.zeros(batch.rows, dtype=np.bool_), {})
    if not contract.stored:
        return joined
    assert contract.entity is not None and batch.entities is not None
    place = {entity: position for position, entity in enumerate(dict.fromkeys(batch.entities))}
    entities = [entity for entity in place if entity]
    names = [feature.name for feature in contract.stored]
    found = source.fetch(contract.entity, entities, names) if entities else {}
    stored = [found.get(entity, _NOTHING) for entity in place]
    # (features, entities): every moment in one array, so that freshness is one comparison
    items = [[values.get(name) for values in stored] for name in names]
    moments = np.array([[_NAN if i is None else i.at for i in column] for column in items])
    columns = _stored_columns(contract.stored, items, moments)
    ages = np.maximum(now - moments, 0.0)
    if len(place) < batch.rows:  # some entity has several rows
        where = np.array([place[entity] for entity in batch.entities])
        columns, ages = [column[where] for column in columns], ages[:, where]
    unusable = ~(ages <= _oldest(contract))  # True for NaN
    for position, feature in enumerate(contract.stored):
        batch.columns[feature.name] = columns[position]
        joined.ages[feature.name] = ages[position]
    for position in np.flatnonzero(unusable.any(axis=1)).tolist():
        _settle(joined, contract.stored[position], unusable[position])
    return joined


_NAN = float("nan")
_NOTHING: dict[str, StoredValue] = {}


@lru_cache(maxsize=64)
def _oldest(contract: Contract) -> NDArray[np.float64]:
    """The age past which each stored feature is unusable, in seconds, (features, 1)."""
    return np.array(
        [
            [np.inf if f.max_age is None or f.when_stale == "serve" else f.max_age]
            for f in contract.stored
        ]
    )


def unavailable(contract: Contract, batch: Batch) -> Joined:
    """The batch while its feature source cannot be read: the fallback rule answers every row.

    Raises:
        Transient: the contract has no fallback rule.
    """
    if contract.fallback is None:
        raise Transient("the feature store cannot be read now, and the model has no fallback rule")
    joined = Joined(batch, np.ones(batch.rows, dtype=np.bool_), {})
    for feature in contract.stored:
        batch.columns[feature.name] = _filler(feature, batch.rows)
        joined.ages[feature.name] = np.full(batch.rows, np.nan)
    return joined


def _filler(feature: Feature, rows: int) -> Array:
    dtype = numpy_dtype(feature.dtype)
    return np.full((rows, *feature.shape), "" if dtype.kind == "O" else 0, dtype=dtype)


def _stored_columns(
    features: Sequence[Feature],
    items: Sequence[list[StoredValue | None]],
    moments: NDArray[np.float64],
) -> list[Array]:
    """The values of each feature, per entity; a moment becomes NaN where its value is no good."""
    columns: list[Array] = []
    for feature, stored, own in zip(features, items, moments, strict=True):
        values = np.empty((len(stored), *feature.shape), dtype=numpy_dtype(feature.dtype))
        try:
            if None in stored:
                raise ValueError
            values[:] = [item.value for item in stored]  # type: ignore[union-attr]
        except (ValueError, OverflowError):
            values = _one_by_one(feature, stored, own)
        columns.append(values)
    return columns


def _one_by_one(
    feature: Feature, stored: list[StoredValue | None], moments: NDArray[np.float64]
) -> Array:
    values = _filler(feature, len(stored))
    for position, item in enumerate(stored):
        try:
            if item is not None:
                values[position] = item.value
        except (ValueError, OverflowError):
            moments[position] = _NAN  # not of the contract's kind: as if it were not there
    return values


def _settle(joined: Joined, feature: Feature, unusable: NDArray[np.bool_]) -> None:
    """Rows whose value is missing or too old go the way of the feature's `when_stale`."""
    batch, ages = joined.batch, joined.ages[feature.name]
    if feature.when_stale == "fallback":
        joined.fallback |= unusable
    elif feature.default is not None and feature.when_stale in ("default", "serve"):
        batch.columns[feature.name][unusable] = feature.default
    else:
        fresh = "" if feature.max_age is None else f" no older than {feature.max_age:g} s"
        for row in np.flatnonzero(unusable & batch.good).tolist():
            got = "nothing" if np.isnan(ages[row]) else f"one {ages[row]:.0f} s old"
            batch.refuse(row, feature.name, f"a stored value{fresh}", got)
