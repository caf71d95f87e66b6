"""What a prediction is, on every path; and how answers get back into the caller's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, empty_output
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure
from quintet.scoring import Scores
from quintet.serving.checking import by_row

__all__ = ["Prediction", "failed_prediction", "in_caller_order", "joined_scores"]


@dataclass(slots=True)
class Prediction:
    """The answer of one version to rows of a batch.

    `route` is "live" or "pinned". `batch` is the caller's, with its stored features; `rows`
    (n,) are the ascending positions in it that this version answers, and `scores.index` is a
    part of them. `ages` are seconds by stored feature, (n,), NaN where nothing is stored.
    `failures` are the model's, by the number of the group whose rows it failed on.
    """

    contract: Contract
    route: str
    batch: Batch
    rows: NDArray[np.int64]
    scores: Scores
    ages: dict[str, NDArray[np.float64]]
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


def failed_prediction(
    contract: Contract, route: str, batch: Batch, error: ModelFailure
) -> Prediction:
    """The prediction of a batch that the model fails on as a whole: every row is refused."""
    for row in np.flatnonzero(batch.good).tolist():
        batch.refuse(row, "model", "an answer for this row", str(error))
    none = np.empty(0, dtype=np.int64)
    outputs = {output.name: empty_output(output) for output in contract.outputs}
    scores = Scores(none, outputs, none.astype(np.bool_), batch.refusals)
    ages = {feature.name: np.full(batch.rows, np.nan) for feature in contract.stored}
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
    ages = {
        name: np.concatenate([one.ages[name] for one in predictions])[order] for name in first.ages
    }
    scores = joined_scores([one.scores for one in predictions])
    return Prediction(first.contract, first.route, first.batch, rows[order], scores, ages)


def joined_scores(parts: Sequence[Scores]) -> Scores:
    """Scores of different rows of one batch as one, in the order of its rows."""
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index, kind="stable")
    refusals = {id(refusal): refusal for part in parts for refusal in part.refusals}
    return Scores(
        index[order],
        {
            name: np.concatenate([part.outputs[name] for part in parts])[order]
            for name in parts[0].outputs
        },
        np.concatenate([part.fallback for part in parts])[order],
        [*refusals.values()],
    )
