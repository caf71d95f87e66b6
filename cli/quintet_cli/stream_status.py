"""The status of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from quintet.replay.stream_objects import FAILURES, QUARANTINE
from quintet_cli.stage import Stage
from quintet_cli.stream_reader import StreamReader

__all__ = ["Status", "status_of"]

#: the period of the iterator's age
MINUTES = 5


@dataclass(frozen=True, slots=True)
class Status:
    """Shards; the function's maximum lag in seconds over some minutes; refused and failed objects.

    `behind` is None if no invocation reported it.
    """

    stream: str
    bucket: str
    open: int
    closed: int
    behind: float | None
    minutes: int
    refused: int
    failures: int


def status_of(stage: Stage, now: float) -> Status:
    """Return the status of a stage's stream."""
    reader = StreamReader(stage)
    shards = reader.shards()
    closed = sum("EndingSequenceNumber" in s["SequenceNumberRange"] for s in shards)
    days = {datetime.fromtimestamp(at, UTC) for at in (now - 86_400, now)}
    return Status(
        stream=reader.name,
        bucket=reader.bucket,
        open=len(shards) - closed,
        closed=closed,
        behind=_behind(stage, now),
        minutes=MINUTES,
        refused=sum(len(reader.keys(f"{QUARANTINE}date={day:%Y-%m-%d}/")) for day in days),
        failures=len(reader.keys(FAILURES)),
    )


def _behind(stage: Stage, now: float) -> float | None:
    """Return the maximum age of the iterator, in seconds."""
    end = datetime.fromtimestamp(now, UTC) + timedelta(minutes=1)
    found = stage.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="IteratorAge",
        Dimensions=[{"Name": "FunctionName", "Value": stage.outputs["ScoreStreamName"]}],
        StartTime=end - timedelta(minutes=MINUTES + 1),
        EndTime=end,
        Period=60,
        Statistics=["Maximum"],
    )
    ages = [point["Maximum"] for point in found["Datapoints"]]
    return max(ages) / 1000 if ages else None
