"""Logs and metrics: one line and one EMF document for each request, or attempt to tell of a job.

Never a payload.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from quintet.codecs.messages import Request, Response
from quintet.errors import BadInput, QuintetError
from quintet.online import Call

if TYPE_CHECKING:  # predict tells no caller of a job
    from quintet.callbacks.delivery import Delivery
    from quintet.callbacks.delivery import State as DeliveryState
    from quintet.jobs.job import Job

__all__ = ["METRICS", "CallbackTelemetry", "Telemetry", "make_logger"]

#: every metric there is, with its unit
METRICS = {
    "requests_count": MetricUnit.Count,
    "refused_requests_count": MetricUnit.Count,
    "failed_requests_count": MetricUnit.Count,
    "rows_count": MetricUnit.Count,
    "refused_rows_count": MetricUnit.Count,
    "fallback_rows_count": MetricUnit.Count,
    "cache_hits_count": MetricUnit.Count,
    "circuit_opened_count": MetricUnit.Count,
    "load_ms": MetricUnit.Milliseconds,
    "decode_ms": MetricUnit.Milliseconds,
    "features_ms": MetricUnit.Milliseconds,
    "score_ms": MetricUnit.Milliseconds,
    "total_ms": MetricUnit.Milliseconds,
    "callbacks_delivered_count": MetricUnit.Count,
    "callbacks_retried_count": MetricUnit.Count,
    "callbacks_given_up_count": MetricUnit.Count,
    "callbacks_stopped_count": MetricUnit.Count,
    "callback_age_seconds": MetricUnit.Seconds,
}
_CALLBACKS: dict[DeliveryState, str] = {
    "delivered": "callbacks_delivered_count",
    "waiting": "callbacks_retried_count",
    "given_up": "callbacks_given_up_count",
    "stopped": "callbacks_stopped_count",
}


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _as_it_is(text: Any) -> Any:
    """Messages are names of events: the attempt to read each as JSON would cost 10 us."""
    return text


def make_logger(stage: str) -> Logger:
    """A function's logger: JSON by orjson, with the stage in every line."""
    return Logger(
        json_serializer=_dumps,
        json_deserializer=_as_it_is,
        location=None,
        stage=stage,
        use_rfc3339=True,
        utc=True,
    )


class Telemetry:
    """What a request leaves behind, in logs and metrics."""

    def __init__(self, stage: str) -> None:
        self.logger = make_logger(stage)
        self.metrics = Metrics()
        self._stage = stage

    def settle(
        self, call: Call, request: Request, response: Response, error: Exception | None
    ) -> None:
        """Write the line and the metrics of a request that was answered.

        Models and versions become dimensions only once they were found: what callers make up
        must not make metrics.
        """
        total_ms = call.total_ms()
        self._log(call, request, response, error, total_ms)
        metrics = self.metrics
        metrics.add_dimension("stage", self._stage)
        if call.version:
            metrics.add_dimension("model", call.model)
            metrics.add_dimension("version", str(call.version))
        self._count("requests_count", 1)
        if error is not None:
            bad = isinstance(error, BadInput)
            self._count("refused_requests_count" if bad else "failed_requests_count", 1)
        for name, count in (
            ("rows_count", call.rows),
            ("refused_rows_count", call.refused),
            ("fallback_rows_count", call.fallback),
            ("cache_hits_count", int(call.cache == "hit")),
        ):
            if count:
                self._count(name, count)
        for step, milliseconds in call.times.items():
            self._count(step, milliseconds)
        self._count("total_ms", total_ms)
        metrics.flush_metrics()

    def circuit_changed(self, name: str, state: str) -> None:
        """A circuit breaker opened, probes or closed."""
        level = self.logger.warning if state == "OPEN" else self.logger.info
        level("circuit changed", circuit=name, state=state)
        if state == "OPEN":
            self._count("circuit_opened_count", 1)  # flushed with the request's own

    def _count(self, name: str, value: float) -> None:
        self.metrics.add_metric(name, METRICS[name], value)

    def _log(
        self,
        call: Call,
        request: Request,
        response: Response,
        error: Exception | None,
        total_ms: float,
    ) -> None:
        line: dict[str, Any] = {
            "request_id": call.id,
            "route": f"{request.method} {request.route}",
            "model": call.model,
            "version": call.version,
            "served": call.route,
            "rows": call.rows,
            "refused_rows": call.refused,
            "fallback_rows": call.fallback,
            "bytes_in": len(request.raw),
            "bytes_out": len(response.body),
            "status": response.status,
            **{step: round(value, 3) for step, value in call.times.items()},
            "total_ms": round(total_ms, 3),
        }
        if call.trace_id:
            line["trace_id"] = call.trace_id
        if call.cache:
            line["cache"] = call.cache
        if call.job:
            line["job"] = call.job
        if error is None:
            self.logger.info(_event(call, request), **line)
            return
        line["error"] = type(error).__name__
        if isinstance(error, BadInput):
            # the fields' names may be the caller's own: only how many there are
            line["refusals"] = len(error.refusals)
            self.logger.info("refused", **line)
        elif isinstance(error, QuintetError):
            line["reason"] = str(error)
            self.logger.error("failed", **line)
        else:
            line["stack"] = _stack(error)
            self.logger.error("failed", **line)


class CallbackTelemetry:
    """What an attempt to tell a caller leaves behind."""

    def __init__(self, stage: str) -> None:
        self.logger = make_logger(stage)
        self.metrics = Metrics()
        self._stage = stage

    def announced(self, job: Job, channel: str, delivery: Delivery) -> None:
        """Write the line and the metrics of an attempt.

        Neither has the URL, which may hold a token, nor anything of the answer but its status. The
        age is from the job's end to its delivery.
        """
        level = self.logger.info if delivery.state == "delivered" else self.logger.warning
        level(
            "announced",
            job=job.id,
            model=job.model,
            channel=channel,
            endpoint=job.endpoint if channel == "webhook" else None,
            state=delivery.state,
            attempts=delivery.attempts,
            last=delivery.last,
        )
        metrics = self.metrics
        for name, value in (("stage", self._stage), ("model", job.model), ("channel", channel)):
            metrics.add_dimension(name, value)
        counted = [(_CALLBACKS[delivery.state], 1.0)]
        if delivery.delivered is not None:
            counted.append(("callback_age_seconds", delivery.delivered - job.updated))
        for name, number in counted:
            metrics.add_metric(name, METRICS[name], number)
        metrics.flush_metrics()


def _event(call: Call, request: Request) -> str:
    """What happened to a request that was answered."""
    if call.job:
        return "accepted"
    return "answered" if request.route.startswith("/jobs") else "predicted"


def _stack(error: BaseException) -> list[str]:
    """Where an error came from. Its text is left out: it may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
