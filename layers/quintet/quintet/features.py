"""Stored features: the port to the feature store, and the join with its freshness rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    place: dict[str, int] = {}
    where = np.array([place.setdefault(entity, len(place)) for entity in batch.entities])
    names = [feature.name for feature in contract.stored]
    entities = [entity for entity in place if entity]
    found = source.fetch(contract.entity, entities, names) if entities else {}
    rows = [found.get(entity, {}) for entity in place]
    for feature in contract.stored:
        values, ages = _stored_column(feature, [row.get(feature.name) for row in rows], now)
        _apply(joined, feature, values[where], ages[where])
    return joined


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


def _stored_column(
    feature: Feature, stored: list[StoredValue | None], now: float
) -> tuple[Array, NDArray[np.float64]]:
    """Values and ages (seconds, NaN where nothing is stored) of one feature, per entity."""
    values = _filler(feature, len(stored))
    ages = np.full(len(stored), np.nan)
    for position, item in enumerate(stored):
        if item is None:
            continue
        try:
            values[position] = item.value
        except (ValueError, OverflowError):
            continue  # what is stored is not of the contract's kind: as if it were not there
        ages[position] = max(0.0, now - item.at)
    return values, ages


def _apply(joined: Joined, feature: Feature, values: Array, ages: NDArray[np.float64]) -> None:
    """Set one column; rows whose value is missing or too old go the way of `when_stale`."""
    batch = joined.batch
    missing = np.isnan(ages)
    unusable = missing
    if feature.max_age is not None and feature.when_stale != "serve":
        unusable = missing | (ages > feature.max_age)
    if unusable.any():
        if feature.when_stale == "fallback":
            joined.fallback |= unusable
        elif feature.default is not None and feature.when_stale in ("default", "serve"):
            values[unusable] = feature.default
        else:
            for row in np.flatnonzero(unusable & batch.good).tolist():
                fresh = "" if feature.max_age is None else f" no older than {feature.max_age:g} s"
                got = "nothing" if missing[row] else f"one {ages[row]:.0f} s old"
                batch.refuse(row, feature.name, f"a stored value{fresh}", got)
    batch.columns[feature.name] = values
    joined.ages[feature.name] = ages
