"""Batches of several callers scored in one run of the model, each getting its own rows back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quintet.columns import Batch, merge
from quintet.errors import ModelFailure
from quintet.features import FeatureSource, join
from quintet.scoring import Model, Scores, score
from quintet.serving.predict import Prediction

__all__ = ["predict_together"]


def predict_together(
    model: Model,
    batches: Sequence[Batch],
    features: FeatureSource,
    now: float,
    *,
    outputs: Sequence[str] | None = None,
) -> list[Prediction | ModelFailure]:
    """The prediction of each batch, all of one `layout`, from one run of the model.

    Refused rows are in the predictions' refusals. Where the run fails, the batches that break
    it are found by halving: they alone get the failure, as they would have alone.

    Raises:
        Transient: the feature store could not be read.
    """
    merged = merge(batches)
    joined = join(model.contract, merged, features, now)
    try:
        scores = score(model, merged, fallback=joined.fallback, outputs=outputs)
    except ModelFailure as error:
        if len(batches) == 1:
            return [error]
        middle = len(batches) // 2
        return [
            found
            for half in (batches[:middle], batches[middle:])
            for found in predict_together(model, half, features, now, outputs=outputs)
        ]
    return [*_split(Prediction(model.contract, merged, scores, joined.ages), batches)]


def _split(whole: Prediction, batches: Sequence[Batch]) -> list[Prediction]:
    """The prediction of the merged batch as those of its parts."""
    ends = np.cumsum([batch.rows for batch in batches])
    starts = ends - [batch.rows for batch in batches]
    # the scored rows are in order: those of a part lie side by side
    lows = np.searchsorted(whole.scores.index, starts)
    highs = np.searchsorted(whole.scores.index, ends)
    found = []
    for batch, start, end, low, high in zip(batches, starts, ends, lows, highs, strict=True):
        scores = Scores(
            whole.scores.index[low:high] - start,
            {name: values[low:high] for name, values in whole.scores.outputs.items()},
            whole.scores.fallback[low:high],
            [],
        )
        ages = {name: age[start:end] for name, age in whole.ages.items()}
        found.append(Prediction(whole.contract, batch, scores, ages))
    for refusal in whole.scores.refusals:
        assert refusal.row is not None  # what is refused whole never becomes a batch
        part = int(np.searchsorted(ends, refusal.row, side="right"))
        row = refusal.row - int(starts[part])
        found[part].scores.refusals.append(replace(refusal, row=row))
    return found
