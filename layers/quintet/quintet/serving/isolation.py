"""Find by halving the rows, or groups of rows, that the model fails on; score all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from quintet.columns import Batch
from quintet.errors import ModelFailure
from quintet.scoring import Model, Scores, joined_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_FAILING_ROWS", "Isolate", "Scoring", "score_isolating_failures"]

#: how many rows of a batch may fail before the model itself is considered broken
MAX_FAILING_ROWS = 8

#: of the rows of a model whose rows differ in shape, one in so many may
FAILING_SHARE = 8

#: what fails alone: each row, or each of the groups of so many consecutive rows
Isolate = Literal["rows"] | Sequence[int]


class Scoring(Protocol):
    """Scores a joined batch: `quintet.scoring.score`, or a wrapper of it such as a cache."""

    def __call__(
        self,
        model: Model,
        batch: Batch,
        *,
        fallback: NDArray[np.bool_] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Scores: ...


def score_isolating_failures(
    scoring: Scoring,
    model: Model,
    batch: Batch,
    first: ModelFailure,
    isolate: Isolate,
    *,
    fallback: NDArray[np.bool_],
    outputs: Sequence[str] | None = None,
) -> tuple[Scores, dict[int, ModelFailure]]:
    """Score a batch except the parts that the model fails on; `first` is its first failure.

    Each such part is found in about 2 log2(parts) runs. With "rows" those rows are refused; with
    groups, the failures are returned by their numbers.

    Raises:
        ModelFailure: with "rows", the model fails on all, or on more than `MAX_FAILING_ROWS`; of a
            model whose rows differ in shape, on more than one in `FAILING_SHARE`.
    """
    by_row = isinstance(isolate, str)
    rows = np.flatnonzero(batch.good) if by_row else np.arange(batch.rows)
    bounds = np.arange(len(rows) + 1) if by_row else np.cumsum([0, *isolate])

    def run(low: int, high: int) -> Scores:
        chosen = np.zeros(batch.rows, dtype=np.bool_)
        chosen[rows[bounds[low] : bounds[high]]] = True
        part = batch.with_(good=batch.good & chosen)
        return scoring(model, part, fallback=fallback, outputs=outputs)

    most = MAX_FAILING_ROWS if by_row else len(bounds)
    if by_row and model.contract.grouped:  # shapes that the graph refuses are the data's fault
        most = max(most, len(rows) // FAILING_SHARE)
    search = _Search(run, most)
    search.fails(0, len(bounds) - 1, first)
    if not by_row:
        return joined_scores(search.parts or [run(0, 0)]), search.failures
    if not search.parts:
        raise first
    for position, failure in search.failures.items():
        batch.refuse(int(rows[position]), "model", "an answer for this row", str(failure))
    scores = joined_scores(search.parts)
    return replace(scores, refusals=batch.refusals), {}


class _Run(Protocol):
    def __call__(self, low: int, high: int, /) -> Scores:
        """The scores of parts `low` to `high`. Raises ModelFailure."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class _Search:
    """The scores of the successful parts, in order, and the failures by part."""

    run: _Run
    most: int
    parts: list[Scores] = field(default_factory=list)
    failures: dict[int, ModelFailure] = field(default_factory=dict)

    def fails(self, low: int, high: int, error: ModelFailure) -> None:
        """Search parts `low` to `high`, which fail when run together."""
        if high - low == 1:
            self.failures[low] = error
        if len(self.failures) > self.most:
            raise error
        if high - low > 1:
            middle = (low + high + 1) // 2
            for start, end in ((low, middle), (middle, high)):
                try:
                    self.parts.append(self.run(start, end))
                except ModelFailure as failure:
                    self.fails(start, end, failure)
