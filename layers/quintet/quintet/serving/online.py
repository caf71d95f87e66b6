"""Answering one request: which model, its prediction, and what is counted of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from quintet.columns import Batch
from quintet.errors import BadInput
from quintet.features import FeatureSource
from quintet.scoring import score
from quintet.serving.caches import PredictionCache
from quintet.serving.context import ModelStats, RequestContext
from quintet.serving.model_cache import ModelCache
from quintet.serving.predict import ModelRoute, Prediction, in_caller_order, predict

__all__ = ["Online"]


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

    def route(self, context: RequestContext, name: str, version: int | None) -> ModelRoute:
        """What answers for a name or a pinned version; the context names it from here on.

        Raises:
            NotFound: there is no such model, or no such version.
            Transient: it could not be read.
        """
        model = self.models.get(name, version)
        context.model, context.version = model.contract.name, model.contract.version
        context.route = "live" if version is None else "pinned"
        context.lap("load_ms")
        return ModelRoute(model, context.route)

    def predict(
        self,
        context: RequestContext,
        route: ModelRoute,
        batch: Batch,
        *,
        outputs: Sequence[str] | None = None,
        partial: bool = False,
    ) -> Prediction:
        """Score a batch. With `partial`, refused rows, and rows that the model fails on, come
        back in the scores' refusals.

        Raises:
            BadInput: a row is refused, and the caller did not ask for partial results.
            ModelFailure: the model failed, or an output of a row is not finite.
            Transient: the feature store cannot be read, and there is no fallback rule.
        """
        context.rows = batch.rows
        context.lap("decode_ms")
        caching = route.model.contract.cache_ttl > 0
        now = self.clock()
        try:
            predictions = predict(
                route,
                batch,
                self.features,
                now,
                outputs=outputs,
                whole=not partial,
                isolate="rows" if partial else None,
                scoring=self.cache.scoring(context) if caching else score,
                lap=context.lap,
            )
        except BadInput:
            context.refused = len({refusal.row for refusal in batch.refusals})
            raise
        prediction = in_caller_order(predictions)
        scores = prediction.scores
        context.refused = batch.rows - len(scores.index)
        context.fallback = int(scores.fallback.sum())
        self._count(context, now)
        if scores.refusals:
            prediction.check(partial)
        return prediction

    def _count(self, context: RequestContext, now: float) -> None:
        stats = self.stats.setdefault((context.model, context.version), ModelStats())
        stats.rows += context.rows
        stats.runs += 1
        stats.score_ms += context.times["score_ms"]
        stats.last = now
