"""The prediction cache of one execution environment, bounded in size and age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quintet.columns import Array, Batch
from quintet.scoring import Model, Scores, score
from quintet.serving.isolation import Scoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quintet.serving.predict import RequestContext

__all__ = ["PredictionCache"]


class PredictionCache:
    """Scores by their inputs: model, version, outputs and every column.

    They expire; above `most` entries, the least recently used are dropped.
    """

    def __init__(self, *, most: int = 1_000, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Scores]] = OrderedDict()

    def get(self, key: bytes) -> Scores | None:
        """The cached scores for this key, None if there are none."""
        until, scores = self._kept.get(key, (0.0, None))
        if scores is None:
            return None
        if self._clock() >= until:
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return scores

    def put(self, key: bytes, scores: Scores, seconds: float) -> None:
        """Remember scores for `seconds`."""
        self._kept[key] = (self._clock() + seconds, scores)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def scoring(self, context: RequestContext) -> Scoring:
        """`quintet.scoring.score` for one request, through this cache.

        It wraps the scoring and not the whole prediction, because stored features are part of the
        key: a changed value takes effect at once.
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
        import hashlib  # with OpenSSL: few models cache

        digest = hashlib.blake2b(repr(subject).encode(), digest_size=20)
        for name in sorted(columns):
            column = columns[name]
            digest.update(f"|{name}|{column.dtype.str}|{column.shape}|".encode())
            if column.dtype.kind == "O":
                for item in column.ravel().tolist():
                    encoded = _encoded(item)
                    digest.update(b"%d:" % len(encoded))
                    digest.update(encoded)
            else:
                digest.update(column.tobytes())
        for mask in masks:
            digest.update(mask.tobytes())
        return digest.digest()


def _encoded(item: str | Array) -> bytes:
    """A text, or a row of a feature with free axes, as bytes that no other has."""
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    values = repr(item.tolist()).encode() if item.dtype.kind == "O" else item.tobytes()
    return f"{item.shape}|".encode() + values
