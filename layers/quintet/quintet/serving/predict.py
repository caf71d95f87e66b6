"""Serving a batch: join stored features, score once, or answer from memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, Transient
from quintet.features import FeatureSource, Joined, join, unavailable
from quintet.scoring import Scores, score
from quintet.serving.caches import PredictionCache
from quintet.serving.checking import by_row, check_values
from quintet.serving.context import ModelStats, RequestContext
from quintet.serving.model_cache import Model, ModelCache

__all__ = ["Online", "Prediction"]


@dataclass(slots=True)
class Prediction:
    """The answer to a batch. `ages` are seconds by stored feature, (rows,), NaN for none."""

    contract: Contract
    batch: Batch
    scores: Scores
    ages: dict[str, NDArray[np.float64]]

    def check(self, partial: bool) -> None:
        """Refuse the whole for its refused rows, unless partial results were asked for.

        Raises:
            BadInput: a row is refused.
            ModelFailure: rows are refused, all of them for outputs that are not finite.
        """
        refusals = self.scores.refusals
        refusals.sort(key=by_row)
        if refusals and not partial:
            names = {output.name for output in self.contract.outputs}
            if all(refusal.field in names for refusal in refusals):
                raise ModelFailure(str(BadInput(refusals)))
            raise BadInput(refusals)


@dataclass(frozen=True)
class Online:
    """Everything that answering a request needs.

    `names` lists the published models; `clock` is seconds since the epoch.
    """

    models: ModelCache
    names: Callable[[], list[str]]
    features: FeatureSource
    cache: PredictionCache
    clock: Callable[[], float]
    stats: dict[tuple[str, int], ModelStats] = field(default_factory=dict)

    def model(self, context: RequestContext, name: str, version: int | None) -> Model:
        """The model that answers; the context names it from here on.

        Raises:
            NotFound: there is no such model, or no such version.
            Transient: it could not be read.
        """
        model = self.models.get(name, version)
        context.model, context.version = model.contract.name, model.contract.version
        context.route = "live" if version is None else "pinned"
        context.lap("load_ms")
        return model

    def predict(
        self,
        context: RequestContext,
        model: Model,
        batch: Batch,
        *,
        outputs: Sequence[str] | None = None,
        partial: bool = False,
    ) -> Prediction:
        """Score a batch. With `partial`, refused rows come back in the scores' refusals.

        Raises:
            BadInput: a row is refused, and the caller did not ask for partial results.
            ModelFailure: the model failed, or an output of a row is not finite.
            Transient: the feature store cannot be read, and there is no fallback rule.
        """
        context.rows = batch.rows
        context.lap("decode_ms")
        if batch.refusals and not partial:
            self._refuse(context, model, batch)
        joined = self._join(model.contract, batch)
        context.lap("features_ms")
        if batch.refusals and not partial:
            self._refuse(context, model, batch)
        scores = self._score(context, model, joined, outputs)
        context.lap("score_ms")
        context.refused = batch.rows - len(scores.index)
        context.fallback = int(scores.fallback.sum())
        self._count(context)
        prediction = Prediction(model.contract, batch, scores, joined.ages)
        prediction.check(partial)
        return prediction

    def _count(self, context: RequestContext) -> None:
        stats = self.stats.setdefault((context.model, context.version), ModelStats())
        stats.rows += context.rows
        stats.runs += 1
        stats.score_ms += context.times["score_ms"]
        stats.last = self.clock()

    @staticmethod
    def _refuse(context: RequestContext, model: Model, batch: Batch) -> None:
        """Refuse a whole request, so that a caller need not come twice: for its values, too."""
        try:
            check_values(model, batch)
        finally:
            context.refused = len({refusal.row for refusal in batch.refusals})

    def _join(self, contract: Contract, batch: Batch) -> Joined:
        try:
            return join(contract, batch, self.features, self.clock())
        except Transient:
            return unavailable(contract, batch)

    def _score(
        self, context: RequestContext, model: Model, joined: Joined, outputs: Sequence[str] | None
    ) -> Scores:
        """Score, or find the scores of the same columns in the cache, where it is on."""
        contract, batch = model.contract, joined.batch
        if contract.cache_ttl <= 0 or not batch.good.all():
            return score(model, batch, fallback=joined.fallback, outputs=outputs)
        subject = (contract.name, contract.version, outputs)
        key = PredictionCache.key(subject, batch.columns, [joined.fallback])
        scores = self.cache.get(key)
        context.cache = "miss" if scores is None else "hit"
        if scores is None:
            scores = score(model, batch, fallback=joined.fallback, outputs=outputs)
            if not scores.refusals:
                self.cache.put(key, scores, contract.cache_ttl)
        return scores
