"""Builds what several functions share, each once: telemetry, AWS clients, models, features.

Each builder imports what it needs, so that a function imports nothing that it does not use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from aws_lambda_powertools.logging import Logger
    from numpy.typing import NDArray

    from quintet.api.telemetry import RequestTelemetry
    from quintet.aws.artifacts import Artifacts
    from quintet.aws.client import AwsClient
    from quintet.aws.features import FeatureTable
    from quintet.aws.registry import Registry
    from quintet.captures.plans import CapturePlan, Rows, Sealed
    from quintet.captures.sealing import Sealer
    from quintet.columns import Batch
    from quintet.contract import Contract
    from quintet.errors import QuintetError, Transient
    from quintet.serving.golden import Difference
    from quintet.serving.model_cache import ModelCache
    from quintet.telemetry.powertools import MetricsWriter
    from quintet.telemetry.traces import Span

__all__ = [
    "artifacts",
    "auth",
    "client",
    "contracts",
    "features",
    "logger",
    "metrics",
    "models",
    "registry",
    "request_telemetry",
    "seal",
    "traced",
]

#: what Lambda keeps between invocations, and the next process of an environment finds
SCRATCH = Path(os.environ.get("TMPDIR", "/tmp"))
#: the cache of verified model files
MODEL_FILES = SCRATCH / "quintet-models"


class RegistrySettings(Protocol):
    """Settings for reading published models."""

    @property
    def registry_bucket(self) -> str: ...

    @property
    def registry_table(self) -> str: ...


class ModelSettings(RegistrySettings, Protocol):
    """The same, and the memory that models may use."""

    @property
    def model_memory_mb(self) -> int: ...


@cache
def request_telemetry() -> RequestTelemetry:
    """The log and the metrics of a function that answers HTTP requests."""
    from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry

    return RequestTelemetry(StdoutTelemetry(_stage(), os.environ), seal)


@cache
def auth() -> str:
    """How the API authenticates callers: `iam` unless its template says `none`."""
    from quintet.settings import ApiSettings, read

    return read(ApiSettings, os.environ).auth


@cache
def logger() -> Logger:
    """The log of any other function."""
    from quintet.telemetry.powertools import make_logger

    return make_logger(_stage())


@cache
def metrics() -> MetricsWriter:
    """The metrics of any other function."""
    from quintet.telemetry.powertools import MetricsWriter

    return MetricsWriter(_stage())


@contextmanager
def traced(traceparent: str = "", started: float | None = None) -> Iterator[Span | None]:
    """Trace a block: it may add to the span, which is None if the invocation is not sampled.

    The span begins now, or has `started` (epoch seconds). A block that raises has failed.
    """
    span = None
    if "Sampled=1" in (xray := os.environ.get("_X_AMZN_TRACE_ID", "")):
        from quintet.telemetry import traces

        span = traces.begin(xray, traceparent, time.time() if started is None else started)
    if span is None:
        yield None
        return
    try:
        yield span
    except Exception:
        span.failure = "fault"
        raise
    finally:
        span.end(os.environ, time.time())


def _stage() -> str:
    return os.environ.get("QUINTET_STAGE", "")


def seal(
    plan: CapturePlan,
    batch: Batch,
    rows: Rows | None,
    event: str | Sequence[str],
    numbers: NDArray[np.int64],
) -> Sealed | None:
    """Encrypt sensitive features for captures: see `quintet.captures.plans.Seal`.

    What it needs is loaded with the first such capture.
    """
    sealer = _sealer()
    return None if sealer is None else sealer.seal(plan, batch, rows, event, numbers)


@cache
def _sealer() -> Sealer | None:
    """What encrypts captures; None, and said once, if the stage has no key."""
    from quintet.settings import SealSettings, read

    settings = read(SealSettings, os.environ)
    if not settings.capture_key:
        _not_sealed("SealedCaptures is off: deploy the stage with SealedCaptures=on")
        return None
    from quintet.aws.client import AwsClient
    from quintet.aws.keys import CaptureKey
    from quintet.captures.sealing import Sealer

    # one attempt and short timeouts: an answer waits for the first data key
    kms = AwsClient("kms", connect_seconds=0.5, read_seconds=1.0, attempts=1)
    key = CaptureKey(kms, settings.capture_key, settings.stage)
    return Sealer(key, time.monotonic, _not_sealed)


def _not_sealed(reason: str) -> None:
    request_telemetry().output.warning("sensitive features not captured", reason=reason)


@cache
def client(service: str) -> AwsClient:
    """The shared client of an AWS service, with the default timeouts; it keeps connections few."""
    from quintet.aws.client import AwsClient

    return AwsClient(service)


def registry(table: str) -> Registry:
    """The registry's table."""
    from quintet.aws.registry import Registry

    return Registry(client("dynamodb"), table)


def init_is_waited_for(environ: Mapping[str, str]) -> bool:
    """Whether a caller waits while this environment starts, and not only Lambda in advance."""
    return environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") == "on-demand"


def artifacts(
    bucket: str, *, threads: int | None = None, cached: bool = False, early: int | None = None
) -> Artifacts:
    """The registry's bucket; `cached` keeps verified files on disk, `threads` is per session.

    `early` is how many golden rows a load checks, by default all: see `Artifacts`.
    """
    from quintet.aws.artifacts import Artifacts

    return Artifacts(
        client("s3"),
        bucket,
        threads=threads,
        early=early,
        cache=MODEL_FILES if cached else None,
        warn=_golden_differs,
        not_packed=_not_packed,
    )


def _golden_differs(contract: Contract, difference: Difference) -> None:
    """Log and count a load that serves though its golden outputs differ a little."""
    output = request_telemetry().output
    of = {"model": contract.name}
    about = {**of, "version": str(contract.version), "largest": str(difference)}
    output.write(
        output.line("WARNING", "golden outputs differ", about),
        output.metrics(of, {"golden_warnings_count": 1}),
    )


def _not_packed(contract: Contract, error: QuintetError) -> None:
    """Log that a large model goes on with mapped weights, which are slower for several rows."""
    output = request_telemetry().output
    output.warning(
        "weights not packed", model=contract.name, version=contract.version, reason=str(error)
    )


def models(settings: ModelSettings) -> ModelCache:
    """Runnable models; the last used stay loaded between invocations.

    A version that ended this environment's process again and again is taken out of a rollout.
    """
    from quintet.serving.crashes import CrashLog
    from quintet.serving.model_cache import ModelCache

    crashes = CrashLog(time.time, SCRATCH / "quintet-crashes")
    for crash in crashes.found:
        request_telemetry().crashed(crash)
    return ModelCache(
        registry(settings.registry_table),
        artifacts(settings.registry_bucket, cached=True),
        memory=settings.model_memory_mb * 1_000_000,
        clock=time.monotonic,
        crashes=crashes,
        taken_out=_taken_out,
        outdated=_outdated,
    )


def _taken_out(name: str, version: int, error: QuintetError) -> None:
    request_telemetry().taken_out(name, version, error)


def _outdated(name: str, age: float, error: Transient) -> None:
    request_telemetry().outdated(name, age, error)


def contracts(settings: RegistrySettings) -> ModelCache:
    """The contracts of models; these models cannot be run."""
    from quintet.aws.contracts import Contracts
    from quintet.serving.model_cache import ModelCache

    return ModelCache(
        registry(settings.registry_table),
        Contracts(artifacts(settings.registry_bucket)),
        memory=2**62,
        clock=time.monotonic,
        outdated=_outdated,
    )


def features(table: str) -> FeatureTable:
    """The feature store."""
    from quintet.aws.features import FeatureTable

    return FeatureTable(client("dynamodb"), table, clock=time.time)
