"""Stored features: the port to the feature store, and the join with its freshness rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch
from quintet.contract import Contract, Scalar

__all__ = ["FeatureSource", "Joined", "MemoryFeatures", "StoredValue", "join"]


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
    raise NotImplementedError
