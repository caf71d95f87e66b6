"""Score batches of several callers while a rollout splits their rows: one run for each version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, merge, take
from quintet.errors import ModelFailure
from quintet.features import FeatureSource
from quintet.serving.groups import split
from quintet.serving.predict import Steps, predict
from quintet.serving.prediction import ModelRoute, Prediction
from quintet.serving.router import Split, TakenOut, parts_of, running, timed

__all__ = ["Begin", "Divided", "predict_divided"]

#: called before a version runs, with its rows of each batch, by the batch's number
Begin = Callable[[ModelRoute, Mapping[int, Batch]], None]


@dataclass(slots=True)
class Divided:
    """What became of one batch: the predictions of the versions that answered rows of it, the first
    failure of a version, and the versions taken out.

    `asked` are the rows of each version that failed, with their stored features, and their
    positions in the batch.
    """

    parts: list[Prediction] = field(default_factory=list)
    failure: ModelFailure | None = None
    taken_out: list[TakenOut] = field(default_factory=list)
    asked: dict[int, tuple[Batch, NDArray[np.int64]]] = field(default_factory=dict)


def predict_divided(
    by: Split,
    batches: Sequence[Batch],
    keys: Sequence[Sequence[str]],
    features: FeatureSource,
    now: float,
    *,
    outputs: Sequence[str] | None = None,
    steps: Steps,
    begin: Begin = lambda route, rows: None,
) -> list[Divided]:
    """The predictions of each batch, all of one `layout`; `keys` are those of their rows.

    Raises:
        Transient: the feature store cannot be read, and the contract has no fallback rule.
    """
    sizes = [batch.rows for batch in batches]
    owner = np.repeat(np.arange(len(batches)), sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    found = [Divided() for _ in batches]
    parts, taken = parts_of(by, merge(batches), [*chain.from_iterable(keys)])
    for one in taken:
        for number in np.unique(owner[one.rows]).tolist():
            own = one.part(owner[one.rows] == number, int(starts[number]))
            found[number].taken_out.append(own)
    for part, own_steps in timed(parts, steps):
        of = owner[part.rows]
        numbers, counts = np.unique(of, return_counts=True)
        rows = [part.rows[of == number] - starts[number] for number in numbers]
        pieces = {n: take(batches[n], some) for n, some in zip(numbers.tolist(), rows, strict=True)}
        begin(part.route, pieces)
        with running(by.models.crashes, part):
            (whole,) = predict(
                part.route,
                part.batch,
                features,
                now,
                outputs=outputs,
                isolate=counts.tolist(),
                steps=own_steps,
            )
        whole.took = own_steps.milliseconds()
        answers = split(whole, [*pieces.values()])
        for number, some, piece in zip(pieces, rows, answers, strict=True):
            if isinstance(piece, ModelFailure):
                found[number].failure = found[number].failure or piece
                used = take(whole.batch, np.flatnonzero(of == number))
                found[number].asked[whole.contract.version] = used, some
            else:
                piece.rows = some
                found[number].parts.append(piece)
    return found
