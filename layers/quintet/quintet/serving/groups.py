"""Score batches of several callers in one run of the model, and return each caller's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quintet.columns import Batch, merge
from quintet.errors import ModelFailure
from quintet.features import FeatureSource
from quintet.scoring import Scores
from quintet.serving.predict import Steps, predict
from quintet.serving.prediction import ModelRoute, Prediction

__all__ = ["predict_groups", "split"]


def predict_groups(
    route: ModelRoute,
    batches: Sequence[Batch],
    features: FeatureSource,
    now: float,
    *,
    outputs: Sequence[str] | None = None,
    steps: Steps | None = None,
) -> list[Prediction | ModelFailure]:
    """The prediction of each batch, all of one `layout`, from one run of the model.

    Refused rows are in the predictions' refusals. A batch that the model fails on gets the failure,
    as it would alone; the others get their predictions.

    Raises:
        Transient: the feature store cannot be read, and the contract has no fallback rule.
    """
    merged = merge(batches)
    sizes = [batch.rows for batch in batches]
    (whole,) = predict(route, merged, features, now, outputs=outputs, isolate=sizes, steps=steps)
    return split(whole, batches)


def _view(merged: Batch, batch: Batch, start: int, end: int) -> Batch:
    """A part of the merged batch, with its stored features."""
    columns = {name: column[start:end] for name, column in merged.columns.items()}
    stacked = {names: matrix[start:end] for names, matrix in merged.stacked.items()}
    known = None if merged.known is None else merged.known[start:end]
    return batch.with_(columns=columns, stacked=stacked, known=known)


def split(whole: Prediction, batches: Sequence[Batch]) -> list[Prediction | ModelFailure]:
    """Split the prediction of the merged batch into those of its parts."""
    ends = np.cumsum([batch.rows for batch in batches])
    starts = ends - [batch.rows for batch in batches]
    refusals: list[list[int]] = [[] for _ in batches]
    for place, refusal in enumerate(whole.scores.refusals):
        assert refusal.row is not None  # a request refused as a whole never becomes a batch
        refusals[int(np.searchsorted(ends, refusal.row, side="right"))].append(place)
    found: list[Prediction | ModelFailure] = []
    for number, batch in enumerate(batches):
        if number in whole.failures:
            found.append(whole.failures[number])
            continue
        start, end = int(starts[number]), int(ends[number])
        scores = _part(whole.scores, start, end, refusals[number])
        rows, ages = np.arange(batch.rows), whole.ages[start:end]
        part = _view(whole.batch, batch, start, end)
        found.append(replace(whole, batch=part, rows=rows, scores=scores, ages=ages, failures={}))
    return found


def _part(scores: Scores, start: int, end: int, refusals: Sequence[int]) -> Scores:
    """The scores of rows `start` to `end`; `refusals` are the positions of their refusals."""
    # the scored rows are in order: those of a part are contiguous
    some = slice(*np.searchsorted(scores.index, (start, end)))
    own = (scores.refusals[place] for place in refusals)
    return Scores(
        scores.index[some] - start,
        {name: values[some] for name, values in scores.outputs.items()},
        scores.fallback[some],
        [refusal._replace(row=(refusal.row or 0) - start) for refusal in own],
    )
