"""An event source mapping of a stream, and what Lambda would refuse in it.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Config", "Position", "Refused", "check_stream", "destination", "stream_name"]

Kind = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]


class Refused(Exception):
    """Lambda would not create this event source mapping."""


@dataclass(frozen=True, slots=True)
class Config:
    """An event source mapping of a stream; -1 means unlimited."""

    batch_size: int = 100
    batch_window: float = 0.0
    parallel: int = 1
    bisect: bool = False
    partial: bool = False
    retries: int = -1
    max_age: float = -1
    window: int = 0
    #: seconds from a failure to the next call: the first delay, doubled each time up to the second;
    #: Lambda would wait longer
    backoff: tuple[float, float] = (0.1, 2.0)

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Config:
        """Read the mapping from its CloudFormation properties.

        Raises:
            Refused: Lambda would not accept them.
        """
        config = cls(
            batch_size=int(properties.get("BatchSize", 100)),
            batch_window=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
            parallel=int(properties.get("ParallelizationFactor", 1)),
            bisect=_flag(properties.get("BisectBatchOnFunctionError", False)),
            partial="ReportBatchItemFailures" in (properties.get("FunctionResponseTypes") or ()),
            retries=int(properties.get("MaximumRetryAttempts", -1)),
            max_age=float(properties.get("MaximumRecordAgeInSeconds", -1)),
            window=int(properties.get("TumblingWindowInSeconds", 0)),
        )
        bounds = {
            "BatchSize": (config.batch_size, 1, 10_000),
            "MaximumBatchingWindowInSeconds": (config.batch_window, 0, 300),
            "ParallelizationFactor": (config.parallel, 1, 10),
            "MaximumRetryAttempts": (config.retries, -1, 10_000),
            "MaximumRecordAgeInSeconds": (config.max_age, -1, 604_800),
            "TumblingWindowInSeconds": (config.window, 0, 900),
        }
        for name, (value, least, most) in bounds.items():
            if not least <= value <= most:
                raise Refused(f"{name}: {value:g} is not from {least} to {most}")
        if 0 <= config.max_age < 60:
            raise Refused(f"MaximumRecordAgeInSeconds: {config.max_age:g} is neither -1 nor 60 on")
        if config.window and config.parallel > 1:
            raise Refused("ParallelizationFactor: must be 1 with TumblingWindowInSeconds")
        return config


def _flag(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading starts; `timestamp` is in epoch seconds, for AT_TIMESTAMP."""

    kind: Kind = "TRIM_HORIZON"
    timestamp: float = 0.0

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Position:
        """Read the position from the mapping's CloudFormation properties.

        Raises:
            Refused: Lambda would not accept them.
        """
        kind = properties.get("StartingPosition")
        if kind not in ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"):
            raise Refused("StartingPosition: must be TRIM_HORIZON, LATEST or AT_TIMESTAMP")
        if kind == "AT_TIMESTAMP" and "StartingPositionTimestamp" not in properties:
            raise Refused("StartingPositionTimestamp: missing, with AT_TIMESTAMP")
        return cls(kind, float(properties.get("StartingPositionTimestamp", 0)))


def stream_name(properties: Mapping[str, Any]) -> str:
    """Return the name of the stream to read.

    Raises:
        Refused: this way of reading is not supported here.
    """
    name = str(properties["EventSourceArn"]).partition(":stream/")[2]
    if "/" in name:
        raise Refused("EventSourceArn: consumers with enhanced fan-out are not served here")
    return name


def destination(properties: Mapping[str, Any]) -> str | None:
    """Return the ARN of the on-failure destination.

    Raises:
        Refused: this kind of destination is not supported here.
    """
    target = ((properties.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    if not target:
        return None
    if str(target).split(":")[2:3] not in (["s3"], ["sqs"], ["sns"]):
        raise Refused(f"DestinationConfig.OnFailure: nothing is sent to {target} here")
    return str(target)


def check_stream(properties: Mapping[str, Any]) -> None:
    """Check that a mapping's CloudFormation properties are supported here.

    Raises:
        Refused: they are not.
    """
    for part in (Config.of, Position.of, stream_name, destination):
        part(properties)
