"""Turn jobs into answers: read each request, and score compatible requests in one model run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, layout
from quintet.errors import ModelFailure, QuintetError, Transient
from quintet.features import FeatureSource
from quintet.jobs.job import Job
from quintet.jobs.routing import route_of
from quintet.jobs.store import MAX_INPUT_BYTES
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import Asked, WireProtocol, protocol
from quintet.serving import ModelRoute, Prediction, Steps
from quintet.serving.groups import predict_groups
from quintet.serving.model_cache import ModelCache, PublishedModel
from quintet.serving.predict import predict
from quintet.serving.prediction import in_caller_order
from quintet.serving.router import Split, TakenOut, parts_of
from quintet.serving.routes import Route
from quintet.serving.routing import keys_of
from quintet.serving.split_groups import Begin, Divided, predict_divided

__all__ = ["Read", "Scored", "groups", "in_time", "read", "score"]


@dataclass(frozen=True, slots=True)
class Read:
    """A job and its decoded request.

    `model` decoded it. `route` splits its rows between versions; None without a rollout.
    """

    job: Job
    model: PublishedModel
    protocol: WireProtocol
    asked: Asked
    route: Route | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The requested outputs, in the contract's order."""
        wanted = self.asked.outputs
        names = (output.name for output in self.model.contract.outputs)
        return tuple(name for name in names if wanted is None or name in wanted)

    @property
    def group(self) -> Hashable:
        """The key that jobs scored in one run must share.

        It includes the outputs, because a row fails if a requested output is not finite. It
        includes the run's time limit, so that no job is delayed by jobs with a longer limit.
        """
        job, route = self.job, self.route
        version = self.model.contract.version
        split: Hashable = None
        if route is not None:
            overrides = frozenset(route.overrides.items())
            split = route.mark, route.canary, route.canary_share, overrides
        batch = self.asked.batch
        return job.model, version, split, self.outputs, layout(batch), job.run_limit


class Scored(NamedTuple):
    """The answer to a job or its error, and the prediction that the answer was made of.

    While a rollout runs, `parts` are the predictions of each version, also of a job that another
    version failed, `taken_out` the versions that could not answer, and `asked` the rows of each
    version that failed the job, with their positions in it.
    """

    answer: Response | Exception
    prediction: Prediction | None = None
    parts: Sequence[Prediction] = ()
    taken_out: Sequence[TakenOut] = ()
    asked: Mapping[int, tuple[Batch, NDArray[np.int64]]] = MappingProxyType({})


def read(job: Job, body: bytes, models: ModelCache) -> Read:
    """Decode a job's request with its protocol and the contract of its version.

    Raises:
        BadInput: the request does not fit the model, or the version is no longer published.
        ModelFailure: the version does not load.
        Transient: the registry could not be read.
    """
    route = None
    if job.rollout is not None:
        route = route_of(job, models.route(job.model))
    model = models.get(job.model, job.version if route is None else route.live)
    form = protocol(job.form)
    request = _request_of(job, body)
    contract = model.contract
    if job.request.place is not None:  # the contract's limit applies to HTTP bodies only
        limits = replace(contract.limits, bytes=MAX_INPUT_BYTES)
        contract = replace(contract, limits=limits)
    asked = form.decode(contract, request)
    return Read(job, model, form, asked, None if asked.pins else route)


def _request_of(job: Job, body: bytes) -> Request:
    """Build the request that the protocol's `decode` takes; `body` is the job's content."""
    headers = {**job.request.headers, "content-type": job.request.content_type}
    return Request("POST", "", headers=headers, raw=body, id=job.id)


def groups(jobs: Sequence[Read]) -> Iterator[list[Read]]:
    """Yield the jobs to score in one run: they share a group, and together have at most the rows
    that the model allows in one request. A job with more rows runs alone."""
    open_groups: dict[Hashable, list[Read]] = {}
    rows: Counter[Hashable] = Counter()
    for found in jobs:
        group, more = found.group, found.asked.batch.rows
        if group in open_groups and rows[group] + more > found.model.contract.limits.rows:
            yield open_groups.pop(group)
            rows[group] = 0
        open_groups.setdefault(group, []).append(found)
        rows[group] += more
    yield from open_groups.values()


def score(
    together: Sequence[Read],
    models: ModelCache,
    features: FeatureSource,
    now: float,
    *,
    steps: Steps,
    begin: Begin = lambda route, jobs: None,
) -> list[Scored]:
    """Score the jobs of a group in one run of each version; `steps` gets its times.

    `begin` is called before a version of a rollout runs, with the positions of its jobs.

    Raises:
        Transient: the feature store could not be read.
    """
    first, batches = together[0], [found.asked.batch for found in together]
    if first.route is not None and first.route.splits:
        keys = [_keys(found) for found in together]
        by = Split(models, first.route, first.model)
        asked = (by, batches, keys, features, now)
        divided = predict_divided(*asked, outputs=first.outputs, steps=steps, begin=begin)
        return [
            _merged(found, one, by, features, now)
            for found, one in zip(together, divided, strict=True)
        ]
    route = ModelRoute(first.model)
    if first.route is not None:
        route = ModelRoute(first.model, "live", first.route.mark)
    predictions = predict_groups(route, batches, features, now, outputs=first.outputs, steps=steps)
    return [
        _answer(found, _by_row(found, prediction, route, features, now))
        for found, prediction in zip(together, predictions, strict=True)
    ]


def _keys(found: Read) -> list[str]:
    batch = found.asked.batch
    return keys_of(batch.entities, batch.rows, found.job.id, whole=not found.protocol.by_row)


def _merged(found: Read, one: Divided, by: Split, features: FeatureSource, now: float) -> Scored:
    """The answer to a job of which several versions answered rows."""
    parts = one.parts
    if one.failure is not None:
        if not found.asked.partial:
            return Scored(one.failure, None, parts, one.taken_out, one.asked)
        try:
            parts = _parts_by_row(found, by, features, now)
        except ModelFailure as error:
            return Scored(error, None, (), one.taken_out)
    whole = in_caller_order(parts, found.asked.batch)
    if found.protocol.by_row:
        whole = replace(whole, parts=parts)
    return _answer(found, whole)._replace(parts=parts, taken_out=one.taken_out)


def _parts_by_row(found: Read, by: Split, features: FeatureSource, now: float) -> list[Prediction]:
    """The predictions of one job's versions, in which only the rows that break them fail."""
    batch, predictions = found.asked.batch, []
    parts, _ = parts_of(by, batch, _keys(found))
    for part in parts:
        asked = (part.route, part.batch, features, now)
        (prediction,) = predict(*asked, outputs=found.outputs, isolate="rows")
        predictions.append(replace(prediction, rows=part.rows))
    return predictions


def _by_row(
    found: Read,
    prediction: Prediction | ModelFailure,
    route: ModelRoute,
    features: FeatureSource,
    now: float,
) -> Prediction | ModelFailure:
    """Score one job; if it accepts partial results, only the rows that break the model fail.

    Raises:
        Transient: the feature store could not be read.
    """
    if not (isinstance(prediction, ModelFailure) and found.asked.partial):
        return prediction
    batch = found.asked.batch
    try:
        (alone,) = predict(route, batch, features, now, outputs=found.outputs, isolate="rows")
    except ModelFailure as error:
        return error
    return alone


def in_time(together: Sequence[Read], answers: list[Scored], seconds: float) -> list[Scored]:
    """Return a run's answers, or errors if the run exceeded the time limit of its jobs."""
    limit = together[0].job.run_limit
    if limit is None or seconds <= limit:
        return answers
    text = f"InvocationTimeoutSeconds: expected at most {limit} seconds, got {seconds:.1f}"
    return [Scored(ModelFailure(text))] * len(together)


def _answer(found: Read, prediction: Prediction | ModelFailure) -> Scored:
    if isinstance(prediction, ModelFailure):
        return Scored(prediction)
    try:
        prediction.check(found.asked.partial)
        return Scored(found.protocol.encode(found.asked, prediction), prediction)
    except Transient:
        raise
    except QuintetError as error:
        return Scored(error)
