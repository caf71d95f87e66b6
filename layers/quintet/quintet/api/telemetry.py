"""The log line and the metrics of a request."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from quintet.errors import BadInput, QuintetError
from quintet.protocols.http import Request, Response
from quintet.serving import RequestContext
from quintet.telemetry.stdout import StdoutTelemetry

__all__ = ["RequestTelemetry"]


class RequestTelemetry:
    """Writes one log line and one document of metrics for each request."""

    def __init__(self, output: StdoutTelemetry) -> None:
        self.output = output
        self._circuits_opened = 0  # since the last request

    def settle(
        self, context: RequestContext, request: Request, response: Response, error: Exception | None
    ) -> None:
        """Write the line and the metrics of a request that was answered.

        Models and versions become dimensions only once they were found: what callers make up
        must not make metrics.
        """
        times: dict[str, float] = dict(context.times.items())
        times["total_ms"] = context.total_ms()
        line = _line(context, request, response, times)
        level, event = "INFO", "accepted" if context.job else "predicted"
        if request.route.startswith("/jobs"):
            event = "answered"
        if error is not None:
            level, event, about = _failure(error)
            line |= about
        dimensions = {}
        if context.version:
            dimensions = {"model": context.model, "version": str(context.version)}
        output = self.output
        output.write(
            output.line(level, event, line),
            output.metrics(dimensions, {**self._counts(context, error), **times}),
        )

    def circuit_changed(self, name: str, state: str) -> None:
        """A circuit breaker opened, probes or closed."""
        if state == "OPEN":
            self._circuits_opened += 1  # written with the request's own metrics
            self.output.warning("circuit changed", circuit=name, state=state)
        else:
            self.output.info("circuit changed", circuit=name, state=state)

    def _counts(self, context: RequestContext, error: Exception | None) -> dict[str, float]:
        refused = isinstance(error, BadInput)
        counts = {
            "circuit_opened_count": self._circuits_opened,
            "requests_count": 1,
            "refused_requests_count": refused,
            "failed_requests_count": error is not None and not refused,
            "rows_count": context.rows,
            "refused_rows_count": context.refused,
            "fallback_rows_count": context.fallback,
            "cache_hits_count": context.cache == "hit",
        }
        self._circuits_opened = 0
        return {name: count for name, count in counts.items() if count}


def _line(
    context: RequestContext, request: Request, response: Response, times: Mapping[str, float]
) -> dict[str, Any]:
    """The fields of a line; those that are None are left out."""
    line: dict[str, Any] = {
        "request_id": context.id,
        "caller": request.caller,
        "route": f"{request.method} {request.route}",
        "model": context.model,
        "version": context.version,
        "served": context.route,
        "rows": context.rows,
        "refused_rows": context.refused,
        "fallback_rows": context.fallback,
        "bytes_in": len(request.raw),
        "bytes_out": len(response.body),
        "status": response.status,
    }
    for step, milliseconds in times.items():
        line[step] = round(milliseconds, 3)
    line["trace_id"] = context.trace_id or None
    line["cache"] = context.cache or None
    line["job"] = context.job or None
    return line


def _failure(error: Exception) -> tuple[str, str, dict[str, Any]]:
    """The level and the event of a request that failed, and what the log says of the error."""
    about: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, BadInput):
        # the fields' names may be the caller's own: only how many there are
        return "INFO", "refused", about | {"refusals": len(error.refusals)}
    if isinstance(error, QuintetError):
        return "ERROR", "failed", about | {"reason": str(error)}
    return "ERROR", "failed", about | {"stack": _stack(error)}


def _stack(error: BaseException) -> list[str]:
    """Where an error came from. Its text is left out: it may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
