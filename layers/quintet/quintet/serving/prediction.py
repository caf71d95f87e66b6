"""What a version answers to a batch, and what several versions answer to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from quintet.columns import Batch, empty_output
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure
from quintet.scoring import Model, Scores, joined_scores
from quintet.serving.checking import by_row
from quintet.serving.routes import Route

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ModelRoute", "Prediction", "failed_prediction", "in_caller_order"]


@dataclass(slots=True, eq=False, repr=False)
class ModelRoute:
    """The model that answers, and its route: live, canary or pinned.

    While a rollout runs, `mark` is what captures name its step by, and `rollout` is the whole route
    of the name, by which `quintet.serving.router` splits rows between versions.
    """

    model: Model
    name: str = "pinned"
    mark: str = ""
    rollout: Route | None = None


@dataclass(slots=True, eq=False, repr=False)
class Prediction:
    """The answer of one version to rows of a batch.

    `route` is live, canary or pinned. `batch` are the rows that this version answers, with their
    stored features; `rows` (n,) are their ascending positions in the caller's batch, and
    `scores.index` positions in `batch`. `ages` (n, stored features) are in seconds, NaN without a
    stored value. `failures` are the model's, by the number of the group that it failed on. `now` is
    what the ages refer to, in epoch seconds; `unavailable`: the feature store could not be read.
    `rollout` is "<id>#<step>" if a rollout decided who answers.

    Where rows are routed one by one, `parts` are the predictions of each version, and the rest is
    of all of them, in the caller's order. `took` are a part's own times in milliseconds.
    """

    contract: Contract
    route: str
    batch: Batch
    rows: NDArray[np.int64]
    scores: Scores
    ages: NDArray[np.float64]
    failures: Mapping[int, ModelFailure] = field(default_factory=dict)
    now: float = 0.0
    unavailable: bool = False
    rollout: str = ""
    parts: Sequence[Prediction] = ()
    took: Mapping[str, float] = field(default_factory=dict)

    @property
    def versions(self) -> NDArray[np.int64]:
        """The version of each row of the batch, (rows,)."""
        versions = np.full(self.batch.rows, self.contract.version, dtype=np.int64)
        for part in self.parts:
            versions[part.rows] = part.contract.version
        return versions

    def check(self, partial: bool) -> None:
        """Raise for refused rows, unless the caller accepts partial results.

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


def failed_prediction(
    route: ModelRoute, batch: Batch, error: ModelFailure, now: float
) -> Prediction:
    """The prediction for a batch that the model fails on as a whole: every row is refused."""
    contract = route.model.contract
    for row in np.flatnonzero(batch.good).tolist():
        batch.refuse(row, "model", "an answer for this row", str(error))
    none = np.empty(0, dtype=np.int64)
    outputs = {output.name: empty_output(output) for output in contract.outputs}
    scores = Scores(none, outputs, none.astype(np.bool_), batch.refusals)
    ages = np.full((batch.rows, len(contract.stored)), np.nan)
    rows = np.arange(batch.rows)
    return Prediction(contract, route.name, batch, rows, scores, ages, now=now, rollout=route.mark)


def in_caller_order(predictions: Sequence[Prediction], batch: Batch | None = None) -> Prediction:
    """The predictions of several versions as one of the caller's batch, in its order.

    `batch` is the caller's; a prediction of all its rows is returned as it is. All have the same
    outputs. The result has the contract and the route of the live version if that answers a row.
    """
    if len(predictions) == 1 and (batch is None or predictions[0].batch.rows == batch.rows):
        return predictions[0]
    assert batch is not None
    refusals = [
        refusal._replace(row=int(one.rows[refusal.row or 0]))
        for one in predictions
        for refusal in one.scores.refusals
    ]
    refusals.sort(key=by_row)
    scores = joined_scores(
        [replace(one.scores, index=one.rows[one.scores.index]) for one in predictions]
    )
    scores.refusals = refusals
    first = next((one for one in predictions if one.route == "live"), predictions[-1])
    ages = np.full((batch.rows, len(first.contract.stored)), np.nan)
    for one in predictions:
        place = {feature.name: i for i, feature in enumerate(one.contract.stored)}
        for i, feature in enumerate(first.contract.stored):
            if feature.name in place:
                ages[one.rows, i] = one.ages[:, place[feature.name]]
    rows = np.arange(batch.rows)
    return replace(first, batch=batch, rows=rows, scores=scores, ages=ages, failures={})
