"""Check a batch's values against the contract, without stored features and without a run."""

from __future__ import annotations

import numpy as np

from quintet.columns import Batch, numpy_dtype
from quintet.errors import BadInput, Refusal
from quintet.scoring import Model, score

__all__ = ["by_row", "check_values"]


def check_values(model: Model, batch: Batch) -> None:
    """Refuse a batch if its caller sent anything that cannot be scored.

    The batch cannot be scored afterwards: all rows are marked bad, so that no model runs.

    Raises:
        BadInput: a value or the whole is refused; it names the values.
    """
    batch.good[:] = False
    for feature in model.contract.stored:
        filler = "" if feature.dtype == "string" else 0
        dtype = numpy_dtype(feature.dtype)
        batch.columns[feature.name] = np.full((batch.rows, *feature.shape), filler, dtype)
    score(model, batch)
    if batch.refusals:
        raise BadInput(sorted(batch.refusals, key=by_row))


def by_row(refusal: Refusal) -> int:
    """The order of refusals: those of the whole request first."""
    return -1 if refusal.row is None else refusal.row
