"""Logs and metrics: one line and one EMF document for each request, or attempt to tell of a job.

Never a payload.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from quintet.errors import BadInput, QuintetError
from quintet.protocols.http import Request, Response
from quintet.serving import RequestContext

if TYPE_CHECKING:  # predict tells no caller of a job
    from quintet.jobs.job import Job
    from quintet.streaming.scorer import ShardOutcome
    from quintet.webhooks.callouts import Outgoing
    from quintet.webhooks.delivery import Delivery
    from quintet.webhooks.delivery import State as DeliveryState

__all__ = ["METRICS", "CallbackTelemetry", "StreamTelemetry", "Telemetry", "make_logger"]

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
    # of score_stream
    "records_count": MetricUnit.Count,
    "undecodable_records_count": MetricUnit.Count,
    "repeated_records_count": MetricUnit.Count,
    "failed_batches_count": MetricUnit.Count,
    "late_rows_count": MetricUnit.Count,
    "out_of_order_rows_count": MetricUnit.Count,
    "window_parts_count": MetricUnit.Count,
    "window_spills_count": MetricUnit.Count,
    "window_state_lost_count": MetricUnit.Count,
    "alerts_count": MetricUnit.Count,
    "suppressed_alerts_count": MetricUnit.Count,
    "record_age_ms": MetricUnit.Milliseconds,
    "sink_ms": MetricUnit.Milliseconds,
    "windows_ms": MetricUnit.Milliseconds,
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
        self, context: RequestContext, request: Request, response: Response, error: Exception | None
    ) -> None:
        """Write the line and the metrics of a request that was answered.

        Models and versions become dimensions only once they were found: what callers make up
        must not make metrics.
        """
        total_ms = context.total_ms()
        self._log(context, request, response, error, total_ms)
        metrics = self.metrics
        metrics.add_dimension("stage", self._stage)
        if context.version:
            metrics.add_dimension("model", context.model)
            metrics.add_dimension("version", str(context.version))
        self._count("requests_count", 1)
        if error is not None:
            bad = isinstance(error, BadInput)
            self._count("refused_requests_count" if bad else "failed_requests_count", 1)
        for name, count in (
            ("rows_count", context.rows),
            ("refused_rows_count", context.refused),
            ("fallback_rows_count", context.fallback),
            ("cache_hits_count", int(context.cache == "hit")),
        ):
            if count:
                self._count(name, count)
        for step, milliseconds in context.times.items():
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
        context: RequestContext,
        request: Request,
        response: Response,
        error: Exception | None,
        total_ms: float,
    ) -> None:
        line: dict[str, Any] = {
            "request_id": context.id,
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
            **{step: round(value, 3) for step, value in context.times.items()},
            "total_ms": round(total_ms, 3),
        }
        if context.trace_id:
            line["trace_id"] = context.trace_id
        if context.cache:
            line["cache"] = context.cache
        if context.job:
            line["job"] = context.job
        if error is None:
            self.logger.info(_event(context, request), **line)
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
    """What an attempt to tell of a job or an alert leaves behind."""

    def __init__(self, stage: str) -> None:
        self.logger = make_logger(stage)
        self.metrics = Metrics()
        self._stage = stage

    def announced(self, job: Job, channel: str, delivery: Delivery) -> None:
        """Write the line and the metrics of an attempt. The age is from the job's end."""
        endpoint = job.endpoint if channel == "webhook" else None
        self._log(delivery, job=job.id, model=job.model, channel=channel, endpoint=endpoint)
        self._count(delivery, job.model, channel, job.updated)

    def called_out(self, call: Outgoing, delivery: Delivery) -> None:
        """The same of an alert's attempt, or a run's. The age is from when there was news."""
        about = {call.kind: call.subject, "model": call.model, "endpoint": call.endpoint}
        self._log(delivery, channel="webhook", **about)
        self._count(delivery, call.model, "webhook", call.at)

    def _log(self, delivery: Delivery, **subject: Any) -> None:
        """The line: neither the URL, which may hold a token, nor of the answer but its status."""
        level = self.logger.info if delivery.state == "delivered" else self.logger.warning
        level(
            "announced",
            **subject,
            state=delivery.state,
            attempts=delivery.attempts,
            last=delivery.last,
        )

    def _count(self, delivery: Delivery, model: str, channel: str, begun: float) -> None:
        metrics = self.metrics
        for name, value in (("stage", self._stage), ("model", model), ("channel", channel)):
            metrics.add_dimension(name, value)
        counted = [(_CALLBACKS[delivery.state], 1.0)]
        if delivery.delivered is not None:
            counted.append(("callback_age_seconds", delivery.delivered - begun))
        for name, number in counted:
            metrics.add_metric(name, METRICS[name], number)
        metrics.flush_metrics()


class StreamTelemetry:
    """What an invocation of `score_stream` leaves behind, in logs and metrics."""

    def __init__(self, stage: str) -> None:
        self.logger = make_logger(stage)
        self.metrics = Metrics()
        self._stage = stage
        self._warned = False

    def settle(self, outcome: ShardOutcome) -> None:
        """Write the line and the metrics of an invocation: its own, and those of each model."""
        self._log(outcome)
        windows = outcome.windows
        counts = {
            "records_count": outcome.records,
            "undecodable_records_count": outcome.undecodable,
            "repeated_records_count": outcome.skipped,
            "failed_batches_count": int(outcome.failed is not None),
            "alerts_count": outcome.alerts.raised,
            "suppressed_alerts_count": outcome.alerts.suppressed,
            "record_age_ms": outcome.oldest_seconds * 1000,
        }
        if windows is not None:
            counts |= {
                "late_rows_count": windows.counts.late,
                "out_of_order_rows_count": windows.counts.out_of_order,
                "window_parts_count": windows.parts,
                "window_spills_count": int(windows.spilled),
                "window_state_lost_count": int(windows.state_lost),
            }
        self._write({}, {n: v for n, v in counts.items() if v} | dict(outcome.times))
        for (model, version), rows in outcome.rows.items():
            of_model = {
                "rows_count": rows,
                "refused_rows_count": outcome.refused[model, version],
                "fallback_rows_count": outcome.fallback[model, version],
            }
            dimensions = {"model": model, "version": str(version)}
            self._write(dimensions, {n: v for n, v in of_model.items() if v})

    def _write(self, dimensions: Mapping[str, str], values: Mapping[str, float]) -> None:
        if not values:
            return
        self.metrics.add_dimension("stage", self._stage)
        for dimension, place in dimensions.items():
            self.metrics.add_dimension(dimension, place)
        for name, value in values.items():
            self.metrics.add_metric(name, METRICS[name], value)
        self.metrics.flush_metrics()

    def _log(self, outcome: ShardOutcome) -> None:
        line: dict[str, Any] = {
            "shard": outcome.shard,
            "records": outcome.records,
            "undecodable_records": outcome.undecodable,
            "repeated_records": outcome.skipped,
            "rows": {f"{name}:{version}": n for (name, version), n in outcome.rows.items()},
            "refused_rows": sum(outcome.refused.values()),
            "alerts": outcome.alerts.raised,
            "age_ms": round(outcome.oldest_seconds * 1000),
            **{step: round(value, 3) for step, value in outcome.times.items()},
        }
        if (windows := outcome.windows) is not None:
            line["late_rows"] = windows.counts.late
            line["closed_parts"] = windows.parts
            if windows.state_lost:
                self.logger.warning("window state lost", shard=outcome.shard)
        elif outcome.state is None and not self._warned:
            self._warned = True
            self.logger.warning("no windows: the event source has none", shard=outcome.shard)
        if outcome.failed is None:
            self.logger.info("scored", **line)
        else:
            self.logger.warning("to be tried again", **line, reason=str(outcome.error))


def _event(context: RequestContext, request: Request) -> str:
    """What happened to a request that was answered."""
    if context.job:
        return "accepted"
    return "answered" if request.route.startswith("/jobs") else "predicted"


def _stack(error: BaseException) -> list[str]:
    """Where an error came from. Its text is left out: it may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
