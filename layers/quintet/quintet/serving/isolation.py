"""Score a chunk of which one row may break the model: only that row is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch
from quintet.errors import ModelFailure
from quintet.scoring import Model, Scores, score

__all__ = ["score_apart"]

#: how many rows of a chunk may break the model before the model itself is taken for broken
MOST = 8


def score_apart(model: Model, batch: Batch, fallback: NDArray[np.bool_]) -> Scores:
    """`score`, but rows on which the model fails are refused one by one.

    They are found by halving: about 2 log2(rows) runs for each.

    Raises:
        ModelFailure: the model fails on more than `MOST` rows.
    """
    try:
        return score(model, batch, fallback=fallback)
    except ModelFailure as error:
        broken: dict[int, ModelFailure] = {}
        parts = _halves(model, batch, fallback, np.flatnonzero(batch.good), broken)
        if not parts:
            raise error
    for row, failure in broken.items():
        batch.refuse(row, "model", "an answer for this row", str(failure))
    return _joined(parts, batch)


def _halves(
    model: Model,
    batch: Batch,
    fallback: NDArray[np.bool_],
    rows: NDArray[np.int64],
    broken: dict[int, ModelFailure],
) -> list[Scores]:
    """The scores of `rows`, known to fail together, without those noted in `broken`."""
    if len(rows) == 1:
        return []
    parts: list[Scores] = []
    for half in np.array_split(rows, 2):
        good = np.zeros(batch.rows, dtype=np.bool_)
        good[half] = True
        try:
            parts.append(score(model, dataclasses.replace(batch, good=good), fallback=fallback))
        except ModelFailure as error:
            if len(half) == 1:
                broken[int(half[0])] = error
            if len(broken) > MOST:
                raise
            parts += _halves(model, batch, fallback, half, broken)
    return parts


def _joined(parts: list[Scores], batch: Batch) -> Scores:
    """Parts of one chunk, which come in the order of its rows."""
    return Scores(
        np.concatenate([part.index for part in parts]),
        {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs},
        np.concatenate([part.fallback for part in parts]),
        batch.refusals,
    )
