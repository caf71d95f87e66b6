"""Scoring: validate, assemble, run the model once, check. Pure: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, Batch
from quintet.contract import Contract
from quintet.errors import Refusal

__all__ = ["Model", "Scores", "score"]


class Model(Protocol):
    """A loaded model of some version."""

    @property
    def contract(self) -> Contract: ...

    def run(self, feeds: dict[str, Array], outputs: Sequence[str]) -> list[Array]:
        """The named outputs for the feeds, both by the graph's names."""
        ...


@dataclass(slots=True)
class Scores:
    """What a batch came to.

    `index` holds the positions of the scored rows, ascending; row i of every output belongs
    to row `index[i]` of the batch. `fallback[i]` is True where the contract's fallback rule
    answered in place of the model. Every other row of the batch is in `refusals`.
    """

    index: NDArray[np.int64]
    outputs: dict[str, Array]
    fallback: NDArray[np.bool_]
    refusals: list[Refusal]


def score(
    model: Model,
    batch: Batch,
    *,
    fallback: NDArray[np.bool_] | None = None,
    outputs: Sequence[str] | None = None,
) -> Scores:
    """Score the good rows of a batch in one run of the model.

    `fallback` marks the rows (of the whole batch) that the fallback rule answers. A row
    whose output is not finite is refused, with the output's name as its field.

    Raises:
        ModelFailure: the model raised, or an output's shape or dtype is not the contract's.
    """
    raise NotImplementedError
