"""The one pipeline: join stored features, run the model once, isolate failures.

Every path calls `predict`; `Online` answers single requests with it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quintet.columns import Batch, no_rows, positions
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, QuintetError, Transient
from quintet.features import FeatureSource, Joined, join, no_ages, unavailable
from quintet.scoring import score
from quintet.serving.caches import PredictionCache
from quintet.serving.checking import check_values
from quintet.serving.isolation import Isolate, Scoring, score_isolating_failures
from quintet.serving.model_cache import ModelCache
from quintet.serving.prediction import ModelRoute, Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quintet.serving.router import Part, TakenOut
    from quintet.telemetry.traces import Span

__all__ = [
    "ModelStats",
    "Online",
    "RequestContext",
    "Steps",
    "predict",
]

Step = Literal["load_ms", "read_ms", "decode_ms", "features_ms", "score_ms", "filter_ms"]


@dataclass(slots=True, eq=False, repr=False)
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
        joined = Joined(batch, no_rows(batch.rows), no_ages(batch.rows))
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
    return [
        Prediction(
            contract,
            route.name,
            batch,
            positions(batch.rows),
            scores,
            joined.ages,
            failures,
            now,
            not available,
            route.mark,
        )
    ]


class RequestContext:
    """The state of one request: counts, names and times. Only captures see its values.

    `version` is 0, and `contract` None, until the model is known; `prediction` is the answer.
    `event` is the id of its capture, empty if it is not captured. While a rollout runs, `rollout`
    is "<id>#<step>", `answered` are the predictions of versions made so far, and `taken_out` the
    versions that should have answered rows and could not; `asked` are the rows that the last
    version was asked about, and their positions. `cache` is "hit" or "miss" if the model's contract
    enables the prediction cache; `job` is the accepted job. `impression` is what a recommendation
    showed, as JSON, and `hidden` the failure of a version that its answer hides: the version's
    capture, the log line and the metrics say it. `traceparent` is the W3C context for what the
    request starts, `span` its span if it is sampled, `xray` Lambda's text on its trace.

    Not a dataclass: a request sets few of these, and setting all would take a microsecond.
    """

    trace_id: str = ""
    traceparent: str = ""
    xray: str = ""
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
    answered: Sequence[Prediction] = ()
    taken_out: Sequence[TakenOut] = ()
    asked: tuple[Batch, NDArray[np.int64]] | None = None
    impression: Mapping[str, Any] | None = None
    hidden: QuintetError | None = None

    def __init__(self, id: str = "", steps: Steps | None = None) -> None:
        self.id = id
        self.steps = Steps() if steps is None else steps


@dataclass(slots=True, eq=False, repr=False)
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


@dataclass(eq=False, repr=False)
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
    stats: defaultdict[tuple[str, int], ModelStats] = field(
        default_factory=lambda: defaultdict(ModelStats)
    )
    begin: Callable[[RequestContext, Part], None] = lambda context, part: None

    def route(self, context: RequestContext, name: str, version: int | None) -> ModelRoute:
        """The route of a name or a pinned version; it is recorded in the context.

        Raises:
            NotFound: there is no such model, or no such version.
            ModelFailure: it does not load.
            Transient: it could not be read, or the version crashed often.
        """
        try:
            route, model = self.models.answering(name, version)
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

    @staticmethod
    def pinned(context: RequestContext, route: ModelRoute) -> ModelRoute:
        """A route as that of a request that names its version; it is recorded in the context."""
        context.route, context.rollout = "pinned", ""
        return ModelRoute(route.model)

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
        context.fallback = scores.fallback.tobytes().count(1)
        if scores.refusals:
            prediction.check(partial)
        context.prediction = prediction
        return prediction
