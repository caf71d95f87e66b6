"""The settings that follow from what was measured of a model and the load it gets. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from quintet_cli.sizing.assumed import CALL_MS, JOB_MS, PUT_THREADS
from quintet_cli.sizing.curves import Curve, Measured

__all__ = [
    "Batch",
    "Budget",
    "Load",
    "Online",
    "Size",
    "Strategy",
    "Stream",
    "Work",
    "function_ms",
    "size_of",
]

#: MB of a function with one vCPU; those of Python and its libraries beside the models
VCPU_MB, BASE_MB = 1769, 160
#: of the memory that a process was seen to take, so much is given
MEMORY_MARGIN = 1.25
#: `ModelMemoryMb`'s default
MODELS_MB = 512
#: ms that AWS's runtime adds to a call, beside the function's process and in it: of a handler that
#: only writes log lines, by `python -m benchmarks.sizing`
RUNTIME_MS, RUNTIME_CPU_MS = 0.32, 0.25
#: how busy what is sized may be: target tracking of provisioned concurrency has the same 70 %
BUSY = 0.7
#: requests a second that an account lets each unit of concurrency take
#: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
RATE_OF_ONE = 10
#: entities in one read of the feature store
READ_KEYS = 100
#: `WorkTimeoutSeconds`, of which a batch may take a quarter; sizes of a batch that are tried
WORK_SECONDS, WORK_SIZES = 60, (1, 3, 10, 30, 100, 300, 1000)
#: calls of an invocation of `work`, whatever its jobs: leases, and results together
WORK_CALLS = 4
#: `work` runs at most this part above the cheapest record, for a smaller batch
WORK_SLACK = 1.1
#: what a shard takes: records and bytes a second; records of one invocation
SHARD_RECORDS, SHARD_BYTES, STREAM_BATCH = 1000, 1_000_000, 1000
#: a unit that fails is scored again: the time that a batch window keeps for it
RETRY_MARGIN = 1.3
#: `UnitTargetBytes` and `BatchMaxConcurrency`
UNIT_BYTES, UNITS_AT_ONCE = 67_108_864, 40


class Strategy(StrEnum):
    """What counts where several settings keep the latency."""

    cost = "cost"
    speed = "speed"
    balanced = "balanced"


class Load(BaseModel):
    """The load to size for; times are in seconds, rates in requests a second.

    `peak` is how many times the average the busiest minute has; `batch_rows` is what a batch run
    scores, by default what comes in a day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(default=1.0, gt=0)
    peak: float = Field(default=3.0, ge=1)
    rows: int = Field(default=1, ge=1)
    latency_ms: float = Field(gt=0)
    network_ms: float = Field(default=10.0, ge=0)
    batch_rows: int = Field(default=86_400, ge=1)
    batch_window_s: float = Field(default=3600.0, gt=0)


class Budget(BaseModel):
    """Where the milliseconds of a request go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: float
    runtime: float
    features: float
    model: float
    serialisation: float
    total: float
    objective: float
    kept: bool


class Online(BaseModel):
    """predict: its memory, and how many environments are busy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_mb: int
    models_mb: int
    vcpus: float
    budget: Budget
    function_ms: float
    concurrency: float
    peak_concurrency: int
    provisioned: int
    most_provisioned: int


class Work(BaseModel):
    """work: jobs in a batch, ms of a batch, and invocations at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int
    batch_ms: float
    concurrency: int


class Stream(BaseModel):
    """The stream's shards, and what asks for so many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: int
    batch_ms: float
    because: str


class Batch(BaseModel):
    """A batch run: its units, how many at once, and the window it takes with room for retries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    row_ms: float
    units: int
    parallelism: int
    window_s: float
    kept: bool


class Size(BaseModel):
    """The settings for one strategy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy
    online: Online
    work: Work
    stream: Stream
    batch: Batch


def function_ms(curve: Curve, rows: float, *, stored: bool) -> float:
    """What a request takes of predict: the runtime, reads of the feature store, the handler."""
    return _runtime_ms(curve) + _features_ms(rows, stored) + curve.ms(rows)


def size_of(measured: Measured, load: Load, strategy: Strategy) -> Size:
    """Return the settings for a load."""
    full = measured.curves[0]
    return Size(
        strategy=strategy,
        online=_online(measured, load, strategy),
        work=_work(full, load, strategy),
        stream=_stream(full, load),
        batch=_batch(full, load, strategy),
    )


def _runtime_ms(curve: Curve) -> float:
    return RUNTIME_MS + RUNTIME_CPU_MS / curve.vcpus


def _features_ms(rows: float, stored: bool) -> float:
    return math.ceil(rows / READ_KEYS) * CALL_MS if stored else 0.0


def _online(measured: Measured, load: Load, strategy: Strategy) -> Online:
    stored = measured.stored_features
    curve, memory = _memory(measured, load, strategy)
    took = function_ms(curve, load.rows, stored=stored)
    average, peak = (_environments(rate, took) for rate in (load.rate, load.rate * load.peak))
    provisioned, most = 0, 0
    if strategy is Strategy.balanced:
        provisioned, most = math.ceil(average / BUSY), math.ceil(peak / BUSY)
    elif strategy is Strategy.speed:
        provisioned = most = math.ceil(peak / BUSY)
    return Online(
        memory_mb=memory,
        models_mb=max(math.ceil(measured.model_mb), min(MODELS_MB, memory - BASE_MB)),
        vcpus=curve.vcpus,
        budget=_budget(curve, load, stored),
        function_ms=took,
        concurrency=load.rate * took / 1000,
        peak_concurrency=math.ceil(peak),
        provisioned=provisioned,
        most_provisioned=most if most > provisioned else 0,
    )


def _environments(rate: float, ms: float) -> float:
    """Little's law, and the account's limit of requests a second for each of them."""
    return max(rate * ms / 1000, rate / RATE_OF_ONE)


def _memory(measured: Measured, load: Load, strategy: Strategy) -> tuple[Curve, int]:
    """The curve and memory of predict: those that keep the latency, then by the strategy.

    Cost and time are weighed alike for `balanced`, each against the most of all that are left.
    """
    seen = measured.memory_mb * MEMORY_MARGIN
    needed = math.ceil(max(seen, BASE_MB + measured.model_mb))
    choices = [
        (curve, memory)
        for curve in measured.curves
        if (memory := math.ceil(VCPU_MB * curve.vcpus)) >= needed
    ] or [(measured.curves[0], needed)]
    stored = measured.stored_features
    kept = [one for one in choices if _budget(one[0], load, stored).kept] or choices[:1]
    times = [function_ms(curve, load.rows, stored=stored) for curve, _ in kept]
    costs = [ms * memory for ms, (_, memory) in zip(times, kept, strict=True)]

    def weight(place: int) -> tuple[float, float]:
        ms, cost = times[place], costs[place]
        if strategy is Strategy.cost:
            return cost, ms
        if strategy is Strategy.speed:
            return ms, cost
        return ms / max(times) + cost / max(costs), ms

    return kept[min(range(len(kept)), key=weight)]


def _budget(curve: Curve, load: Load, stored: bool) -> Budget:
    handler, model = curve.ms(load.rows), curve.model_ms(load.rows)
    total = load.network_ms + function_ms(curve, load.rows, stored=stored)
    return Budget(
        network=load.network_ms,
        runtime=_runtime_ms(curve),
        features=_features_ms(load.rows, stored),
        model=model,
        serialisation=handler - model,
        total=total,
        objective=load.latency_ms,
        kept=total <= load.latency_ms,
    )


def _work(full: Curve, load: Load, strategy: Strategy) -> Work:
    """Jobs of a batch, each with the rows of a request; one that takes too long is not tried."""

    def took(size: int) -> float:
        return _runtime_ms(full) + WORK_CALLS * CALL_MS + full.ms(size * load.rows) + size * JOB_MS

    fit = [size for size in WORK_SIZES if took(size) <= WORK_SECONDS * 1000 / 4] or [1]
    size = fit[-1]
    if strategy is Strategy.speed:
        size = _last(fit, [took(one) <= load.latency_ms for one in fit])
    elif strategy is Strategy.balanced:
        least = took(size) / size
        size = next(one for one in fit if took(one) / one <= least * WORK_SLACK)
    jobs = load.rate * load.peak
    busy = jobs * took(size) / size / 1000 / BUSY
    return Work(batch_size=size, batch_ms=took(size), concurrency=max(2, math.ceil(busy)))


def _last(sizes: Sequence[int], held: Sequence[bool]) -> int:
    """The last size that holds, or the first."""
    return next((one for one, ok in zip(sizes[::-1], held[::-1], strict=True) if ok), sizes[0])


def _stream(full: Curve, load: Load) -> Stream:
    """A record for each row; a shard is read by one invocation at a time."""
    records = load.rate * load.peak * load.rows
    batch_ms = full.ms(STREAM_BATCH) + STREAM_BATCH / PUT_THREADS * CALL_MS + 10 * CALL_MS
    size = full.request_bytes(1)
    asks = {
        f"{records:,.0f} records a second": records / SHARD_RECORDS,
        f"{records * size / 1e6:,.1f} MB a second": records * size / SHARD_BYTES,
        f"{batch_ms:,.0f} ms for {STREAM_BATCH:,} records": records
        * batch_ms
        / STREAM_BATCH
        / 1000
        / BUSY,
    }
    because = max(asks, key=lambda ask: asks[ask])
    return Stream(shards=max(1, math.ceil(asks[because])), batch_ms=batch_ms, because=because)


def _batch(full: Curve, load: Load, strategy: Strategy) -> Batch:
    """The window is size / parallelism / cost of a record, with a margin for retries."""
    rows = load.batch_rows
    row_ms = full.ms(STREAM_BATCH) / STREAM_BATCH
    work_s = rows * row_ms / 1000 * RETRY_MARGIN
    units = max(1, math.ceil(rows * full.request_bytes(1) / UNIT_BYTES))
    needed = max(1, math.ceil(work_s / load.batch_window_s))
    wanted = {
        Strategy.cost: needed,
        Strategy.speed: units,
        Strategy.balanced: max(needed, UNITS_AT_ONCE),
    }[strategy]
    parallelism = min(units, wanted)
    window = work_s / parallelism
    return Batch(
        rows=rows,
        row_ms=row_ms,
        units=units,
        parallelism=parallelism,
        window_s=window,
        kept=window <= load.batch_window_s,
    )
