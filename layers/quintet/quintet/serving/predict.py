"""The one pipeline: join stored features, run the model once, isolate what it fails on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, empty_output
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, Transient
from quintet.features import FeatureSource, Joined, join, unavailable
from quintet.scoring import Model, Scores, joined_scores, score
from quintet.serving.checking import by_row, check_values
from quintet.serving.isolation import Isolate, Scoring, score_isolating_failures

__all__ = [
    "ModelRoute",
    "Prediction",
    "failed_prediction",
    "in_caller_order",
    "predict",
]

#: the steps of a prediction that are timed
Timed = Literal["features_ms", "score_ms"]


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """What a model's name, or a pinned version of it, stands for; `name` is live or pinned."""

    model: Model
    name: str = "pinned"


@dataclass(slots=True)
class Prediction:
    """The answer of one version to rows of a batch.

    `route` is "live" or "pinned". `batch` is the caller's, with its stored features; `rows`
    (n,) are the ascending positions in it that this version answers, and `scores.index` is a
    part of them. `ages` (n, stored features) are in seconds, NaN where nothing is stored.
    `failures` are the model's, by the number of the group whose rows it failed on.
    """

    contract: Contract
    route: str
    batch: Batch
    rows: NDArray[np.int64]
    scores: Scores
    ages: NDArray[np.float64]
    failures: Mapping[int, ModelFailure] = field(default_factory=dict)

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


def predict(
    route: ModelRoute,
    batch: Batch,
    features: FeatureSource,
    now: float,
    *,
    outputs: Sequence[str] | None = None,
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
        Transient: the feature store cannot be read, and the contract has no fallback rule.
    """
    model = route.model
    contract = model.contract
    if whole and batch.refusals:
        check_values(model, batch)
    joined = _join(contract, batch, features, now)
    if lap is not None:
        lap("features_ms")
    if whole and batch.refusals:
        check_values(model, batch)
    failures: dict[int, ModelFailure] = {}
    try:
        scores = scoring(model, batch, fallback=joined.fallback, outputs=outputs)
    except ModelFailure as error:
        if isolate is None:
            raise
        scores, failures = score_isolating_failures(
            scoring, model, batch, error, isolate, fallback=joined.fallback, outputs=outputs
        )
    if lap is not None:
        lap("score_ms")
    rows = np.arange(batch.rows)
    return [Prediction(contract, route.name, batch, rows, scores, joined.ages, failures)]


def _join(contract: Contract, batch: Batch, features: FeatureSource, now: float) -> Joined:
    try:
        return join(contract, batch, features, now)
    except Transient:
        return unavailable(contract, batch)


def failed_prediction(
    contract: Contract, route: str, batch: Batch, error: ModelFailure
) -> Prediction:
    """The prediction of a batch that the model fails on as a whole: every row is refused."""
    for row in np.flatnonzero(batch.good).tolist():
        batch.refuse(row, "model", "an answer for this row", str(error))
    none = np.empty(0, dtype=np.int64)
    outputs = {output.name: empty_output(output) for output in contract.outputs}
    scores = Scores(none, outputs, none.astype(np.bool_), batch.refusals)
    ages = np.full((batch.rows, len(contract.stored)), np.nan)
    return Prediction(contract, route, batch, np.arange(batch.rows), scores, ages)


def in_caller_order(predictions: Sequence[Prediction]) -> Prediction:
    """The predictions of one batch as one, its rows in the order of the batch.

    It has the contract and the route of the first. All hold the same outputs.
    """
    first, *others = predictions
    if not others:
        return first
    rows = np.concatenate([one.rows for one in predictions])
    order = np.argsort(rows, kind="stable")
    ages = np.concatenate([one.ages for one in predictions])[order]
    scores = joined_scores([one.scores for one in predictions])
    return Prediction(first.contract, first.route, first.batch, rows[order], scores, ages)
