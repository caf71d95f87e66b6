"""What a recommendation reads: the run that readers see, and a user's candidates and features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.errors import Transient
from quintet.features import FeatureSource, StoredValue

__all__ = [
    "MemoryReads",
    "Prefetched",
    "Reads",
    "Shown",
    "ShownRuns",
    "UserItems",
]

#: how long the run that readers see is remembered: a new run is seen by then
SHOWN_SECONDS = 10.0
#: the same if there is none, or if it could not be read again
AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Shown:
    """The run whose candidates readers see.

    `started` is in epoch seconds. `popular` are items by segment, the best first; those of all
    users have the segment "". `sold_out` (items + 1,) says which items are, at `stock_at` (epoch
    seconds); None if nobody says.
    """

    run: str
    version: int
    started: float
    popular: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    sold_out: NDArray[np.bool_] | None = None
    stock_at: float = 0.0


class UserItems(NamedTuple):
    """A user's packed candidates, segment, and stored features.

    `candidates` is None without a set; `features` is None if they could not be read.
    """

    candidates: bytes | None
    segment: str
    features: Mapping[str, StoredValue] | None


class Reads(Protocol):
    """The stores of candidates and of features, read together."""

    def shown(self, model: str) -> Shown | None:
        """The run of a candidates model that readers see; None without one. Raises Transient."""
        ...

    def user(self, model: str, run: str, user: str, key: str, names: Sequence[str]) -> UserItems:
        """A user's candidates in a run, and the features `names` of the entity key `key`.

        Raises:
            Transient: the candidates could not be read.
        """
        ...


class MemoryReads:
    """Both stores in memory: `sets` by (model, run, user), each with its segment."""

    def __init__(self, features: FeatureSource) -> None:
        self._features = features
        self.runs: dict[str, Shown] = {}
        self.sets: dict[tuple[str, str, str], tuple[bytes, str]] = {}

    def shown(self, model: str) -> Shown | None:
        """See `Reads.shown`."""
        return self.runs.get(model)

    def user(self, model: str, run: str, user: str, key: str, names: Sequence[str]) -> UserItems:
        """See `Reads.user`."""
        candidates, segment = self.sets.get((model, run, user), (None, ""))
        features: Mapping[str, StoredValue] | None = None
        with suppress(Transient):  # as if the table left them unread
            features = self._features.fetch(key, [user], names).get(user, {}) if names else {}
        return UserItems(candidates, segment, features)


class ShownRuns:
    """The runs that readers see, each at most `SHOWN_SECONDS` old while the store answers.

    A run that is known is used for longer while it does not. `clock` is in seconds.
    """

    def __init__(self, reads: Reads, clock: Callable[[], float]) -> None:
        self._reads = reads
        self._clock = clock
        self._known: dict[str, tuple[float, Shown | None]] = {}

    def get(self, model: str) -> Shown | None:
        """The run of a model; None without one. Raises Transient if none is known."""
        now = self._clock()
        until, shown = self._known.get(model, (float("-inf"), None))
        if now < until:
            return shown
        keep = AGAIN_SECONDS
        try:
            shown = self._reads.shown(model)
        except Transient as error:
            if shown is None:
                what = f"the run of {model} that readers see cannot be read now, try again"
                raise Transient(f"{what}: {error}") from None
        else:
            keep = SHOWN_SECONDS if shown else AGAIN_SECONDS
        self._known[model] = (now + keep, shown)
        return shown


class Prefetched:
    """A feature source of one entity whose features were read; others come from `other`."""

    def __init__(
        self,
        entity: str,
        names: Sequence[str],
        features: Mapping[str, StoredValue] | None,
        other: FeatureSource,
    ) -> None:
        self._entity = entity
        self._names = frozenset(names)
        self._features = features
        self._other = other

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `quintet.features.FeatureSource.fetch`."""
        if not self._names.issuperset(names):  # another version has other features
            return self._other.fetch(key, entities, names)
        if self._features is None:
            raise Transient("the feature store left the user's features unread")
        return {self._entity: dict(self._features)} if self._features else {}
