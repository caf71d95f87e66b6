"""Turn jobs into answers: read each request, and score compatible requests in one model run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from quintet.columns import layout
from quintet.errors import ModelFailure, QuintetError, Transient
from quintet.features import FeatureSource
from quintet.jobs.job import Job
from quintet.jobs.store import MAX_INPUT_BYTES
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import PROTOCOLS, Asked, WireProtocol
from quintet.serving import ModelRoute, Prediction, Steps, predict_groups
from quintet.serving.model_cache import ModelCache, PublishedModel
from quintet.serving.predict import in_caller_order, predict

__all__ = ["Read", "Scored", "groups", "in_time", "read", "score"]


@dataclass(frozen=True, slots=True)
class Read:
    """A job and its decoded request."""

    job: Job
    model: PublishedModel
    protocol: WireProtocol
    asked: Asked

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
        job = self.job
        return job.model, job.version, self.outputs, layout(self.asked.batch), job.run_limit


class Scored(NamedTuple):
    """The answer to a job or its error, and the prediction that the answer was made of."""

    answer: Response | Exception
    prediction: Prediction | None = None


def read(job: Job, body: bytes, models: ModelCache) -> Read:
    """Decode a job's request with its protocol and the contract of its pinned version.

    Raises:
        BadInput: the request does not fit the model, or the version is no longer published.
        ModelFailure: the version does not load.
        Transient: the registry could not be read.
    """
    model = models.get(job.model, job.version)
    protocol = PROTOCOLS[job.form]
    request = _request_of(job, body)
    contract = model.contract
    if job.request.place is not None:  # the contract's limit applies to HTTP bodies only
        limits = replace(contract.limits, bytes=MAX_INPUT_BYTES)
        contract = replace(contract, limits=limits)
    return Read(job, model, protocol, protocol.decode(contract, request))


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
    together: Sequence[Read], features: FeatureSource, now: float, steps: Steps
) -> list[Scored]:
    """Score the jobs of a group in one run; `steps` gets its times.

    Raises:
        Transient: the feature store could not be read.
    """
    first = together[0]
    predictions = predict_groups(
        ModelRoute(first.model),
        [found.asked.batch for found in together],
        features,
        now,
        outputs=first.outputs,
        steps=steps,
    )
    return [
        _answer(found, _by_row(found, prediction, features, now))
        for found, prediction in zip(together, predictions, strict=True)
    ]


def _by_row(
    found: Read, prediction: Prediction | ModelFailure, features: FeatureSource, now: float
) -> Prediction | ModelFailure:
    """Score one job; if it accepts partial results, only the rows that break the model fail.

    Raises:
        Transient: the feature store could not be read.
    """
    if not (isinstance(prediction, ModelFailure) and found.asked.partial):
        return prediction
    route, batch = ModelRoute(found.model), found.asked.batch
    try:
        return in_caller_order(
            predict(route, batch, features, now, outputs=found.outputs, isolate="rows")
        )
    except ModelFailure as error:
        return error


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
