"""What a month of each pattern costs, at the prices of prices.toml. Pure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from quintet.batch.costs import estimate, prices
from quintet_cli.sizing.assumed import (
    CALL_MS,
    JOB_LOG,
    JOB_MESSAGES,
    JOB_READS,
    JOB_WRITES,
    RECEIVER_MS,
    REQUEST_LOG,
)
from quintet_cli.sizing.curves import Measured
from quintet_cli.sizing.plan import STREAM_BATCH, VCPU_MB, Load, Size

__all__ = ["Month", "months"]

HOURS = 730
#: the volume of the low and the high price, of the likely one
LOW, HIGH = 0.5, 2.0
#: batch runs of a month; MB of `submit` and `notify`
RUNS, SMALL_MB = 30, 1024


class Month(BaseModel):
    """Dollars a month: at half the volume, at the volume, and at twice as much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    low: float
    likely: float
    high: float


def months(measured: Measured, load: Load, size: Size) -> tuple[Month, ...]:
    """Return the price of a month of each pattern, if all of the load takes it."""
    stored = measured.stored_features
    known = {
        "online": (_standing_online(size), _request(load, size, stored)),
        "asynchronous": (0.0, _job(load, size)),
        "streaming": (_standing_stream(size), _record(load, size)),
    }
    requests = load.rate * 3600 * HOURS
    found = [
        _month(pattern, standing, each * requests) for pattern, (standing, each) in known.items()
    ]
    return (*found, _month("batch", 0.0, _runs(size)))


def _month(pattern: str, standing: float, volume: float) -> Month:
    low, likely, high = (round(standing + share * volume, 2) for share in (LOW, 1.0, HIGH))
    return Month(pattern=pattern, low=low, likely=likely, high=high)


def _invoked(ms: float, memory_mb: float, *, provisioned: bool = False) -> float:
    """Return the dollars of one invocation; the time of provisioned environments is cheaper."""
    table = prices()["lambda"]
    each = table["provisioned_duration_gb_second" if provisioned else "gb_second"]
    return float(table["request"] + ms / 1000 * memory_mb / 1024 * each)


def _logged(size: float) -> float:
    return float(size / 1e9 * prices()["cloudwatch"]["log_gb"])


def _standing_online(size: Size) -> float:
    gigabytes = size.online.provisioned * size.online.memory_mb / 1024
    return float(gigabytes * HOURS * 3600 * prices()["lambda"]["provisioned_gb_second"])


def _request(load: Load, size: Size, stored: bool) -> float:
    table, online = prices(), size.online
    reads = load.rows * table["dynamodb"]["read_unit"] / 2 if stored else 0.0
    function = _invoked(online.function_ms, online.memory_mb, provisioned=online.provisioned > 0)
    return float(table["api_gateway"]["request"] + function + reads + _logged(REQUEST_LOG))


def _job(load: Load, size: Size) -> float:
    """Accepted by predict, worked with others, announced by a callback."""
    table, work = prices(), size.work
    accepted = _invoked(3 * CALL_MS, size.online.memory_mb)
    worked = _invoked(work.batch_ms, VCPU_MB) / work.batch_size
    told = _invoked(RECEIVER_MS + 2 * CALL_MS, SMALL_MB)
    tables = JOB_WRITES * table["dynamodb"]["write_unit"]
    tables += JOB_READS * table["dynamodb"]["read_unit"]
    messages = JOB_MESSAGES * table["sqs"]["request"]
    front = table["api_gateway"]["request"] + _logged(REQUEST_LOG + JOB_LOG)
    return float(front + accepted + worked + told + tables + messages)


def _standing_stream(size: Size) -> float:
    return float(size.stream.shards * HOURS * prices()["kinesis"]["shard_hour"])


def _record(load: Load, size: Size) -> float:
    """A request's rows as records of full batches, each of another entity."""
    table = prices()
    batch = _invoked(size.stream.batch_ms, VCPU_MB) + 2 * table["s3"]["write"]
    batch += _logged(REQUEST_LOG) + 10 * table["dynamodb"]["write_unit"]
    each = table["kinesis"]["put_unit"] + table["dynamodb"]["write_unit"] + batch / STREAM_BATCH
    return float(load.rows * each)


def _runs(size: Size) -> float:
    """A run a day."""
    batch = size.batch
    run = estimate(
        units=batch.units, busy_seconds=batch.rows * batch.row_ms / 1000, memory_mb=VCPU_MB
    )
    return RUNS * float(run["usd"])
