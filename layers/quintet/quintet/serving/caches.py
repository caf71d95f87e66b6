"""What one execution environment remembers between requests, bounded in number and age."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, Batch
from quintet.features import FeatureSource, StoredValue
from quintet.scoring import Model, Scores, score
from quintet.serving.context import RequestContext
from quintet.serving.isolation import Scoring

__all__ = ["FeatureCache", "PredictionCache"]

Value = TypeVar("Value")


class _Remembered(Generic[Value]):
    """Values that expire, the least recently used dropped first."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        found = self._kept.get(key)
        if found is None:
            return None
        until, value = found
        if self._clock() >= until:
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: Hashable, value: Value, seconds: float) -> None:
        self._kept[key] = (self._clock() + seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)


class FeatureCache:
    """A feature source that remembers what another one answered, for `seconds`.

    An entity that has nothing stored is remembered too. Ages stay true: they are counted
    from the moment that a value describes, not from when it was read.
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
        self._rows: _Remembered[dict[str, StoredValue]] = _Remembered(most, clock)

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        wanted = tuple(names)
        found: dict[str, dict[str, StoredValue]] = {}
        missed = []
        for entity in entities:
            row = self._rows.get((key, wanted, entity))
            if row is None:
                missed.append(entity)
            elif row:
                found[entity] = row
        if missed:
            read = self._source.fetch(key, missed, names)
            for entity in missed:
                self._rows.put((key, wanted, entity), read.get(entity, {}), self._seconds)
            found |= read
        return found


class PredictionCache:
    """Scores by what they were made of: model, version, outputs and every column."""

    def __init__(self, *, most: int = 1_000, clock: Callable[[], float]) -> None:
        self._scores: _Remembered[Scores] = _Remembered(most, clock)

    def get(self, key: bytes) -> Scores | None:
        """The scores of a batch with this key, None where there are none."""
        return self._scores.get(key)

    def put(self, key: bytes, scores: Scores, seconds: float) -> None:
        """Remember scores for `seconds`."""
        self._scores.put(key, scores, seconds)

    def scoring(self, context: RequestContext) -> Scoring:
        """`quintet.scoring.score` for one request, by way of this cache.

        It wraps the scoring and not the whole prediction, since stored features are part of the
        key: a value that has changed is seen at once.
        """

        def cached(
            model: Model,
            batch: Batch,
            *,
            fallback: NDArray[np.bool_] | None = None,
            outputs: Sequence[str] | None = None,
        ) -> Scores:
            contract = model.contract
            if not batch.good.all():
                return score(model, batch, fallback=fallback, outputs=outputs)
            subject = (contract.name, contract.version, outputs)
            key = self.key(subject, batch.columns, [] if fallback is None else [fallback])
            scores = self.get(key)
            context.cache = "miss" if scores is None else "hit"
            if scores is None:
                scores = score(model, batch, fallback=fallback, outputs=outputs)
                if not scores.refusals:
                    self.put(key, scores, contract.cache_ttl)
            return scores

        return cached

    @staticmethod
    def key(
        subject: tuple[object, ...], columns: dict[str, Array], masks: Sequence[Array]
    ) -> bytes:
        """A digest of a batch: its subject (model, version, outputs), columns and row masks."""
        digest = hashlib.blake2b(repr(subject).encode(), digest_size=20)
        for name in sorted(columns):
            column = columns[name]
            digest.update(f"|{name}|{column.dtype.str}|{column.shape}|".encode())
            if column.dtype.kind == "O":
                for text in column.ravel().tolist():
                    encoded = text.encode("utf-8", "surrogatepass")
                    digest.update(b"%d:" % len(encoded))
                    digest.update(encoded)
            else:
                digest.update(column.tobytes())
        for mask in masks:
            digest.update(mask.tobytes())
        return digest.digest()
