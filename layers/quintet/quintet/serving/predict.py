"""The one pipeline: join stored features, run the model once, isolate what it fails on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import ModelFailure, Transient
from quintet.features import FeatureSource, Joined, join, unavailable
from quintet.scoring import Model, score
from quintet.serving.checking import check_values
from quintet.serving.isolation import Isolate, Scoring, score_isolating_failures
from quintet.serving.prediction import Prediction

__all__ = ["ModelRoute", "StoreAway", "predict"]

#: what an absent feature store means: the fallback rule answers, or the batch is tried again
StoreAway = Literal["fallback", "raise"]

#: the steps of a prediction that are timed
Timed = Literal["features_ms", "score_ms"]


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """What a model's name, or a pinned version of it, stands for; `name` is live or pinned."""

    model: Model
    name: str = "pinned"


def predict(
    route: ModelRoute,
    batch: Batch,
    features: FeatureSource,
    now: float,
    *,
    outputs: Sequence[str] | None = None,
    store_away: StoreAway = "fallback",
    isolate: Isolate | None = None,
    whole: bool = False,
    scoring: Scoring = score,
    lap: Callable[[Timed], None] | None = None,
) -> list[Prediction]:
    """The predictions of a batch, one for each version that answers rows of it.

    `now` is in epoch seconds: stored features are as old as they are then. `outputs` None is
    all of them. What the model fails on fails alone where `isolate` says so. With `whole`, a
    refused row refuses the batch before the model runs; otherwise refused rows are in the
    scores' refusals. `lap` is called at the end of each step.

    Raises:
        BadInput: with `whole`, a row is refused.
        ModelFailure: the model failed, and its failure is not isolated.
        Transient: the feature store cannot be read, and `store_away` is "raise" or the contract
            has no fallback rule.
    """
    model = route.model
    contract = model.contract
    if whole and batch.refusals:
        check_values(model, batch)
    joined = _join(contract, batch, features, now, store_away)
    if lap is not None:
        lap("features_ms")
    if whole and batch.refusals:
        check_values(model, batch)
    failures: dict[int, ModelFailure] = {}
    if isolate is None:
        scores = scoring(model, batch, fallback=joined.fallback, outputs=outputs)
    else:
        scores, failures = score_isolating_failures(
            scoring, model, batch, isolate, fallback=joined.fallback, outputs=outputs
        )
    if lap is not None:
        lap("score_ms")
    rows = np.arange(batch.rows)
    return [Prediction(contract, route.name, batch, rows, scores, joined.ages, failures)]


def _join(
    contract: Contract, batch: Batch, features: FeatureSource, now: float, store_away: StoreAway
) -> Joined:
    try:
        return join(contract, batch, features, now)
    except Transient:
        if store_away == "raise":
            raise
        return unavailable(contract, batch)
