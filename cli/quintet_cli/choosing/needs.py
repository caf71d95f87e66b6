"""What a use needs of its answers: the input of `quintet choose`."""

from __future__ import annotations

import math
import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Cost",
    "Delay",
    "Known",
    "Load",
    "Loss",
    "Needs",
    "Source",
    "duration",
    "positive",
    "shown",
    "volume",
]

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "month": 730 * 3600}


class Source(StrEnum):
    """What brings the inputs."""

    request = "request"
    events = "events"
    files = "files"


class Load(StrEnum):
    """How the volume is spread over the day."""

    spiky = "spiky"
    steady = "steady"


class Known(StrEnum):
    """How much of an input is known before the answer is asked for."""

    none = "none"
    some = "some"
    all = "all"


class Loss(StrEnum):
    """Whether an input may be lost if its sender does not send it again."""

    some = "some"
    none = "none"


class Delay(StrEnum):
    """Whether a late answer still counts."""

    none = "none"
    some = "some"


class Cost(StrEnum):
    """What counts more where both are possible."""

    balanced = "balanced"
    lowest = "lowest"


class Needs(BaseModel):
    """The needs of one use; times are in seconds, `rate` is a second's average."""

    model_config = ConfigDict(frozen=True)

    source: Source
    latency_s: float = Field(gt=0)
    rate: float = Field(default=1.0, gt=0)
    load: Load = Load.spiky
    freshness_s: float = Field(default=86_400.0, gt=0)
    known: Known = Known.none
    callback: bool = False
    loss: Loss = Loss.some
    delay: Delay = Delay.none
    cost: Cost = Cost.balanced
    gpu: bool = False
    size_gb: float = Field(default=0.1, gt=0)
    model_ms: float = Field(default=5.0, gt=0)


def duration(text: str) -> float:
    """Return the seconds of `200ms`, `10s`, `2m`, `8h` or `1d`.

    Raises:
        ValueError: the text is none of them, or zero.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip())
    if found is None or not 0 < float(found[1]) < math.inf:
        raise ValueError(
            f"expected a time above 0 such as 200ms, 10s, 2m, 8h or 1d, got {text[:40]!r}"
        )
    return float(found[1]) * _SECONDS[found[2]]


def positive(text: str) -> float:
    """Return a number above 0.

    Raises:
        ValueError: the text is none.
    """
    if not re.fullmatch(r"\d+(\.\d+)?", text.strip()) or not 0 < float(text) < math.inf:
        raise ValueError(f"expected a number above 0, got {text[:40]!r}")
    return float(text)


def volume(text: str) -> float:
    """Return the average a second of `20/s`, `5000/h`, `200000/d` or `3000000/month`.

    Raises:
        ValueError: the text is none of them, or zero.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|m|h|d|month)", text.strip())
    if found is None or not 0 < float(found[1]) < math.inf:
        raise ValueError(
            "expected a number above 0 by period, such as 20/s, 600/m, 5000/h, 200000/d or "
            f"3000000/month, got {text[:40]!r}"
        )
    return float(found[1]) / _PERIODS[found[2]]


def shown(seconds: float) -> str:
    """Return a time in the largest unit of which it has at least one: `200 ms`, `2 min`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms"
