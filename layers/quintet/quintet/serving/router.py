"""While a rollout runs: load the versions that answer, and run each on its rows.

A version that cannot answer is taken out: one that does not load, that ended this environment's
process again and again, or whose contract does not take the live version's requests. The live
version answers its rows, and `TakenOut` is the evidence against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, numpy_dtype, take
from quintet.contract import Contract
from quintet.errors import ModelFailure, QuintetError
from quintet.scoring import Model, Scores, score
from quintet.serving.checking import check_values
from quintet.serving.predict import RequestContext, Steps, predict
from quintet.serving.prediction import ModelRoute, Prediction, in_caller_order
from quintet.serving.routes import Route
from quintet.serving.routing import Choice, assigned, keys_of

if TYPE_CHECKING:
    from quintet.serving.crashes import CrashLog
    from quintet.serving.model_cache import ModelCache
    from quintet.serving.predict import Online

__all__ = [
    "Part",
    "Split",
    "TakenOut",
    "adapted",
    "answer",
    "parts_of",
    "running",
    "subset",
    "timed",
]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that one version answers: their batch, and their positions in the caller's."""

    route: ModelRoute
    batch: Batch
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TakenOut:
    """A version that should have answered rows, (n,) positions in the caller's batch, and why it
    could not. `contract` is the live one under its number, `entities` are those of the rows."""

    choice: Choice
    contract: Contract
    error: QuintetError
    rows: NDArray[np.int64]
    entities: Sequence[str] | None = None

    def part(self, some: NDArray[np.bool_], start: int) -> TakenOut:
        """The same of some of its rows, (n,), in a batch that begins at the row `start`."""
        entities = self.entities
        if entities is not None:
            entities = [entities[place] for place in np.flatnonzero(some).tolist()]
        return replace(self, rows=self.rows[some] - start, entities=entities)


class Split(NamedTuple):
    """What rows are split by: the route, its loaded live version, and where the others load."""

    models: ModelCache
    route: Route
    live: Model


def parts_of(split: Split, batch: Batch, keys: Sequence[str]) -> tuple[list[Part], list[TakenOut]]:
    """The rows of each version, the live version's last, and the versions taken out.

    `batch` fits the live version's contract; `keys` are of `keys_of`.
    """
    models, route, live = split
    parts, taken = [], []
    for choice, rows in assigned(route, keys).items():
        model, (version, name, mark) = live, choice
        some = batch if len(rows) == batch.rows else take(batch, rows)
        if version != route.live:
            try:
                other = models.candidate(route, version)
                some, model = adapted(some, live.contract, other.contract), other
            except QuintetError as error:
                contract = replace(live.contract, version=version)
                taken.append(TakenOut(choice, contract, error, rows, some.entities))
                name, mark = "live", ""
        parts.append(Part(ModelRoute(model, name, mark), some, rows))
    return parts, taken


def adapted(batch: Batch, live: Contract, other: Contract) -> Batch:
    """A batch that was decoded by the live contract, as one of another version's.

    Features that only the other version has get their default.

    Raises:
        ModelFailure: the other version does not take the live version's requests, or does not
            answer with its outputs; it names the difference.
    """
    for feature in other.requested:
        dtype = numpy_dtype(feature.dtype)
        known = live.by_name.get(feature.name)
        if known is not None and known.source == "request":
            if (known.dtype, known.shape) != (feature.dtype, feature.shape):
                kind = f"{known.dtype} {list(known.shape)}"
                raise _unfit(other, f"feature {feature.name} is {kind} in version {live.version}")
        elif feature.fill is None:
            raise _unfit(other, f"feature {feature.name} has no default")
        else:
            shape = (batch.rows, *feature.shape)
            batch.columns[feature.name] = np.full(shape, feature.fill, dtype)
            batch.absent.add(feature.name)
    outputs = [[(o.name, o.dtype, o.row_shape) for o in one.outputs] for one in (live, other)]
    if outputs[0] != outputs[1]:
        raise _unfit(other, f"its outputs are not those of version {live.version}")
    return batch


def _unfit(contract: Contract, why: str) -> ModelFailure:
    return ModelFailure(
        f"model {contract.name} version {contract.version} cannot answer requests of the live "
        f"version: {why}"
    )


def answer(
    online: Online,
    context: RequestContext,
    route: ModelRoute,
    batch: Batch,
    *,
    outputs: Sequence[str] | None,
    partial: bool,
    by_row: bool,
) -> Prediction:
    """Score a request's batch by the versions that its rows belong to.

    The context names the version that runs, so that a failure is its. Raises as `Online.predict`
    does.
    """
    assert route.rollout is not None
    if not partial and batch.refusals:
        check_values(route.model, batch)
    keys = keys_of(batch.entities, batch.rows, context.id, whole=not by_row)
    split = Split(online.models, route.rollout, route.model)
    parts, context.taken_out = parts_of(split, batch, keys)
    answered = list[Prediction]()
    context.answered = answered
    outer = context.steps
    for part, steps in timed(parts, outer):
        contract = part.route.model.contract
        context.contract, context.version = contract, contract.version
        context.route, context.rollout = part.route.name, part.route.mark
        context.asked = part.batch, part.rows
        if part.route.mark and route.rollout.canary is not None:
            online.begin(context, part)
        with running(online.models.crashes, part, live=True):
            answered += predict(
                part.route,
                part.batch,
                online.features,
                online.clock(),
                outputs=outputs,
                isolate="rows" if partial else None,
                scoring=online.cache.scoring(context) if contract.cache_ttl > 0 else score,
                steps=steps,
            )
        answered[-1].rows, answered[-1].took = part.rows, steps.milliseconds()
    whole = in_caller_order(answered, batch)
    # if rows are refused, the request is refused or failed by their version
    first = next((one for one in answered if one.scores.refusals), answered[0])
    context.contract, context.version = first.contract, first.contract.version
    context.route, context.rollout = first.route, first.rollout
    return replace(whole, parts=answered) if by_row else whole


@contextmanager
def running(crashes: CrashLog, part: Part, *, live: bool = False) -> Iterator[None]:
    """While a version runs, an end of the process is noted as its; of the live one if asked to.

    Jobs and streams have rules of their own for work that crashes, whatever the version: there
    only a version that can be taken out is noted.
    """
    contract, slot = part.route.model.contract, 0
    if live or part.route.name != "live":
        slot = crashes.slots.get((contract.name, contract.version), 0)
    crashes.running[slot] = 1
    try:
        yield
    finally:
        crashes.running[slot] = 0


def timed(parts: Sequence[Part], outer: Steps) -> Iterator[tuple[Part, Steps]]:
    """Each part with steps of its own, whose sums become the steps of the request."""
    spent = dict.fromkeys(("features_ms", "score_ms"), 0.0)
    begun = outer.timer()
    for part in parts:
        own = Steps(outer.timer, outer.timer())
        yield part, own
        at = own.started
        for step, ended in own.ended.items():
            spent[step] += ended - at
            at = ended
    outer.ended["features_ms"] = begun + spent["features_ms"]
    outer.ended["score_ms"] = outer.timer()


def subset(prediction: Prediction, rows: NDArray[np.int64]) -> Prediction:
    """A prediction of some rows of its batch, (n,) ascending positions."""
    batch, scores = take(prediction.batch, rows), prediction.scores
    place = np.full(prediction.batch.rows, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    some = np.flatnonzero(place[scores.index] >= 0)
    part = Scores(
        place[scores.index[some]],
        {name: values[some] for name, values in scores.outputs.items()},
        scores.fallback[some],
        [
            one._replace(row=int(place[one.row]))
            for one in scores.refusals
            if one.row is not None and place[one.row] >= 0
        ],
    )
    ages, at = prediction.ages[rows], prediction.rows[rows]
    return replace(prediction, batch=batch, rows=at, scores=part, ages=ages)
