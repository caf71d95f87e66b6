"""The one pipeline: join stored features, run the model once, isolate failures.

Every path calls `predict`; `Online` answers single requests with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, empty_output
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, Transient
from quintet.features import FeatureSource, Joined, join, unavailable
from quintet.scoring import Model, Scores, joined_scores, score
from quintet.serving.caches import PredictionCache
from quintet.serving.checking import by_row, check_values
from quintet.serving.isolation import Isolate, Scoring, score_isolating_failures
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import Route

if TYPE_CHECKING:
    from quintet.serving.router import Part, TakenOut
    from quintet.telemetry.traces import Span

__all__ = [
    "ModelRoute",
    "ModelStats",
    "Online",
    "Prediction",
    "RequestContext",
    "Steps",
    "failed_prediction",
    "in_caller_order",
    "predict",
]

Step = Literal["load_ms", "decode_ms", "features_ms", "score_ms"]


@dataclass(slots=True)
class Steps:
    """The time when each step ended, by `timer`, in order; seconds.

    Set by `steps.ended[step] = steps.timer()` at the end of a step, without a method call: after a
    run of the model, a call costs several times as much as in a loop.
    """

    timer: Callable[[], float] = time.perf_counter
    started: float = field(default_factory=time.perf_counter)
    ended: dict[Step, float] = field(default_factory=dict)

    def milliseconds(self) -> dict[str, float]:
        """The duration of each step, and of all so far as total_ms."""
        begun, found = self.started, dict[str, float]()
        for step, ended in self.ended.items():
            found[step] = (ended - begun) * 1000
            begun = ended
        found["total_ms"] = (self.timer() - self.started) * 1000
        return found


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """The model that answers, and its route: live, canary or pinned.

    While a rollout runs, `mark` is what captures name its step by, and `rollout` is the whole route
    of the name, by which `quintet.serving.router` splits rows between versions.
    """

    model: Model
    name: str = "pinned"
    mark: str = ""
    rollout: Route | None = None


@dataclass(slots=True)
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


def predict(
    route: ModelRoute,
    batch: Batch,
    features: FeatureSource,
    now: float,
    *,
    outputs: Sequence[str] | None = None,
    isolate: Isolate | None = None,
    whole: bool = False,
    scoring: Scoring = score,
    steps: Steps | None = None,
) -> list[Prediction]:
    """The predictions of a batch, one for each version that answers rows of it.

    `now` is in epoch seconds: the ages of stored features refer to it. `outputs` None means all.
    `isolate` says which rows fail alone when the model fails. With `whole`, a refused row refuses
    the batch before the model runs; otherwise refused rows are in the scores' refusals. `steps`
    gets the ends of the steps features_ms and score_ms.

    Raises:
        BadInput: with `whole`, a row is refused.
        ModelFailure: the model failed, and its failure is not isolated.
        Transient: the feature store cannot be read, and the contract has no fallback rule.
    """
    model = route.model
    contract, available = model.contract, True
    if whole and batch.refusals:
        check_values(model, batch)
    if contract.stored:
        try:
            joined = join(contract, batch, features, now)
        except Transient:
            joined, available = unavailable(contract, batch), False
    else:
        joined = Joined(batch, np.zeros(batch.rows, np.bool_), np.empty((batch.rows, 0)))
    if steps is not None:
        steps.ended["features_ms"] = steps.timer()
    if whole and batch.refusals:
        check_values(model, batch)
    failures: dict[int, ModelFailure] = {}
    try:
        scores = scoring(model, batch, fallback=joined.fallback, outputs=outputs)
    except ModelFailure as error:
        if isolate is None:
            raise
        scores, failures = score_isolating_failures(
            scoring, model, batch, error, isolate, fallback=joined.fallback, outputs=outputs
        )
    if steps is not None:
        steps.ended["score_ms"] = steps.timer()
    rows = np.arange(batch.rows)
    return [
        Prediction(
            contract,
            route.name,
            batch,
            rows,
            scores,
            joined.ages,
            failures,
            now,
            not available,
            route.mark,
        )
    ]


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
        replace(refusal, row=int(one.rows[refusal.row or 0]))
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


@dataclass(slots=True)
class RequestContext:
    """The state of one request: counts, names and times. Only captures see its values.

    `version` is 0, and `contract` None, until the model is known; `prediction` is the answer.
    `event` is the id of its capture, empty if it is not captured. While a rollout runs, `rollout`
    is "<id>#<step>", `answered` are the predictions of versions made so far, and `taken_out` the
    versions that should have answered rows and could not; `asked` are the rows that the last
    version was asked about, and their positions. `cache` is "hit" or "miss" if the model's contract
    enables the prediction cache; `job` is the accepted job. `traceparent` is the W3C context for
    what the request starts, `span` its span if it is sampled.
    """

    id: str = ""
    trace_id: str = ""
    traceparent: str = ""
    model: str = ""
    version: int = 0
    route: str = ""
    rows: int = 0
    refused: int = 0
    fallback: int = 0
    cache: str = ""
    job: str = ""
    event: str = ""
    rollout: str = ""
    contract: Contract | None = None
    prediction: Prediction | None = None
    span: Span | None = None
    steps: Steps = field(default_factory=Steps)
    answered: Sequence[Prediction] = ()
    taken_out: Sequence[TakenOut] = ()
    asked: tuple[Batch, NDArray[np.int64]] | None = None


@dataclass(slots=True)
class ModelStats:
    """One version's requests in this execution environment; times in seconds, `last` since epoch.

    A request that the prediction cache answered counts in `succeeded` and `hits` alone. `input_s`
    is for decoding requests and joining stored features, `infer_s` for running the model,
    `output_s` for encoding answers.
    """

    rows: int = 0
    runs: int = 0
    last: float = 0.0
    succeeded: int = 0
    succeeded_s: float = 0.0
    failed: int = 0
    failed_s: float = 0.0
    hits: int = 0
    hits_s: float = 0.0
    input_s: float = 0.0
    infer_s: float = 0.0
    output_s: float = 0.0

    def succeed(self, context: RequestContext, now: float) -> None:
        """Count a request whose answer has just been encoded, at `now` (epoch seconds)."""
        ended, end = context.steps.ended, context.steps.timer()
        self.last = now
        self.succeeded += 1
        self.succeeded_s += end - context.steps.started
        if context.cache == "hit":
            self.hits += 1
            self.hits_s += ended["score_ms"] - ended["features_ms"]
            return
        self.rows += context.rows - context.refused
        self.runs += 1
        self.input_s += ended["features_ms"] - ended["load_ms"]
        self.infer_s += ended["score_ms"] - ended["features_ms"]
        self.output_s += end - ended["score_ms"]

    def fail(self, context: RequestContext) -> None:
        """Count a request that was refused or failed after its model was found."""
        self.failed += 1
        self.failed_s += context.steps.timer() - context.steps.started


@dataclass(frozen=True)
class Online:
    """The dependencies of answering a request.

    `index` lists the published models with their versions; `clock` is seconds since the epoch.
    `begin` is called before a version runs for a canary's request: it writes that it begins.
    """

    models: ModelCache
    index: Callable[[], dict[str, list[int]]]
    features: FeatureSource
    cache: PredictionCache
    clock: Callable[[], float]
    stats: dict[tuple[str, int], ModelStats] = field(default_factory=dict)
    begin: Callable[[RequestContext, Part], None] = lambda context, part: None

    def route(self, context: RequestContext, name: str, version: int | None) -> ModelRoute:
        """The route of a name or a pinned version; it is recorded in the context.

        Raises:
            NotFound: there is no such model, or no such version.
            ModelFailure: it does not load.
            Transient: it could not be read, or the version crashed often.
        """
        try:
            route = self.models.route(name)
            model = self.models.loaded(route, route.live if version is None else version)
        except (ModelFailure, Transient):
            if self.models.knows(name):  # the failure is this model's
                context.model = name
            raise
        context.contract = model.contract
        context.model, context.version = model.contract.name, model.contract.version
        context.route = "live" if version is None else "pinned"
        context.steps.ended["load_ms"] = context.steps.timer()
        if version is None and route.rollout:
            mark = route.mark
            if not route.splits:  # else each row's version, and its evidence, is decided later
                context.rollout = mark
            return ModelRoute(model, "live", mark, route)
        return ModelRoute(model, context.route)

    def predict(
        self,
        context: RequestContext,
        route: ModelRoute,
        batch: Batch,
        *,
        outputs: Sequence[str] | None = None,
        partial: bool = False,
        by_row: bool = True,
    ) -> Prediction:
        """Score a batch. With `partial`, refused rows, and rows that the model fails on, come
        back in the scores' refusals. While a canary answers, `by_row` routes each row by itself,
        otherwise the first row decides for all.

        Raises:
            BadInput: a row is refused, and the caller did not ask for partial results.
            ModelFailure: the model failed, or an output of a row is not finite.
            Transient: the feature store cannot be read, and there is no fallback rule.
        """
        context.rows = batch.rows
        steps = context.steps
        steps.ended["decode_ms"] = steps.timer()
        try:
            if route.rollout is not None and route.rollout.splits:
                from quintet.serving.router import answer  # most models have no rollout

                prediction = answer(
                    self, context, route, batch, outputs=outputs, partial=partial, by_row=by_row
                )
            else:
                caching, crashes = route.model.contract.cache_ttl > 0, self.models.crashes
                running = crashes.running
                slot = crashes.slots.get((context.model, context.version), 0)
                running[slot] = 1
                try:
                    (prediction,) = predict(
                        route,
                        batch,
                        self.features,
                        self.clock(),
                        outputs=outputs,
                        whole=not partial,
                        isolate="rows" if partial else None,
                        scoring=self.cache.scoring(context) if caching else score,
                        steps=steps,
                    )
                finally:
                    running[slot] = 0
        except BadInput:
            context.refused = len({refusal.row for refusal in batch.refusals})
            raise
        scores = prediction.scores
        context.refused = batch.rows - len(scores.index)
        context.fallback = int(scores.fallback.sum())
        if scores.refusals:
            prediction.check(partial)
        context.prediction = prediction
        return prediction
