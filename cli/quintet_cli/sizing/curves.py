"""How long a model takes by rows and vCPUs, as measured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

__all__ = ["Curve", "Measured", "Point"]


class Point(BaseModel):
    """A call of the handler with some rows: the mean of calls in a row, in milliseconds.

    `model_ms` of them are the model's run; `request_bytes` has the body of the request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    ms: float
    model_ms: float
    request_bytes: int


class Curve(BaseModel):
    """The points of one quota, by ascending rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vcpus: float
    points: tuple[Point, ...]

    def ms(self, rows: float) -> float:
        """What a call with so many rows takes."""
        return _at(self.points, [point.ms for point in self.points], rows)

    def model_ms(self, rows: float) -> float:
        """What the model's run takes of it."""
        return _at(self.points, [point.model_ms for point in self.points], rows)

    def request_bytes(self, rows: float) -> float:
        """How large the request is."""
        return _at(self.points, [float(point.request_bytes) for point in self.points], rows)

    def slowed(self, vcpus: float) -> Curve:
        """The curve under a smaller quota, if calls follow each other: time grows as it shrinks."""
        factor = self.vcpus / vcpus
        return Curve(
            vcpus=vcpus,
            points=tuple(
                point.model_copy(
                    update={"ms": point.ms * factor, "model_ms": point.model_ms * factor}
                )
                for point in self.points
            ),
        )


class Measured(BaseModel):
    """What was measured of a model.

    `curves` are by descending vCPUs, the first of a whole one; `no_quota` says why the others were
    calculated. `processor_share` is what this process got of the processor that it asked for: if
    others took some, times under a quota are too long. `cold_ms` is from the start of a process to
    its first answer; `memory_mb` is the peak of that process, `model_mb` what the cache of models
    counts for this one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int
    slo_ms: float
    most_rows: int
    stored_features: bool
    curves: tuple[Curve, ...]
    no_quota: str | None
    processor_share: float
    cold_ms: float
    memory_mb: float
    model_mb: float


def _at(points: Sequence[Point], values: Sequence[float], rows: float) -> float:
    """Interpolate between the two points around `rows`; beyond the last, go on as before it."""
    if len(points) == 1:
        return values[0] * max(1.0, rows / points[0].rows)
    right = min(max(bisect_left([point.rows for point in points], rows), 1), len(points) - 1)
    low, high = points[right - 1].rows, points[right].rows
    share = (rows - low) / (high - low)
    return values[right - 1] + share * (values[right] - values[right - 1])
