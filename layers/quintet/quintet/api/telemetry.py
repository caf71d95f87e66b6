"""Write a request's log line and metrics as Powertools does, in a fraction of the time.

Powertools' Logger and Metrics took half of the time that `predict` adds to a small model's run.
Here a usual request fills in a template of both documents; of any other, each document is one
`orjson.dumps`. All documents of a request are one write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from quintet.api.stdout import StdoutTelemetry, root_of, template
from quintet.captures.events import new_event, taken
from quintet.captures.lines import (
    begun_line,
    failure_line,
    impression_line,
    prediction_lines,
)
from quintet.captures.plans import CapturePlan, Seal
from quintet.errors import BadInput, QuintetError, Transient
from quintet.protocols.http import Request, Response
from quintet.serving import RequestContext
from quintet.serving.crashes import Crash

if TYPE_CHECKING:
    from quintet.serving.router import Part
    from quintet.telemetry.traces import Span

__all__ = ["RequestTelemetry", "StdoutTelemetry"]

#: the routes whose metrics are series of their own, and exist only while a rollout runs
_ROLLOUT = ("canary", "shadow")
#: the fields of a request's log line that its span has, too
_ANNOTATIONS = ("request_id", "route", "model", "version", "rows", "status", "job")
#: what differs between two lines of usual requests, besides the times of their steps
_PLACES = {
    "timestamp": b'"%b"',
    "request_id": b"%b",
    "caller": b"%b",
    **dict.fromkeys(("rows", "refused_rows", "fallback_rows", "bytes_in", "bytes_out"), b"%d"),
    **dict.fromkeys(("trace_id", "xray_trace_id"), b"%b"),
}
#: templates that are kept: there is one for each route, version and set of metrics
_TEMPLATES = 256


class RequestTelemetry:
    """Writes one log line, one document of metrics and, if asked for, a capture of each request.

    Without `seal`, captures have no sensitive features.
    """

    def __init__(self, output: StdoutTelemetry, seal: Seal | None = None) -> None:
        self.output = output
        self._seal = seal
        self._circuits_opened = 0  # since the last request
        self._templates: dict[tuple[Any, ...], bytes] = {}
        self._cold = True  # until the first request is answered

    def begin_span(self, context: RequestContext, xray: str) -> None:
        """Begin the span of a sampled request; `xray` is Lambda's _X_AMZN_TRACE_ID."""
        from quintet.telemetry import traces  # not at cold start

        if span := traces.begin(xray, context.traceparent, self.output.clock()):
            context.span, context.trace_id = span, span.trace
            context.traceparent = span.traceparent

    def settle(
        self, context: RequestContext, request: Request, response: Response, error: Exception | None
    ) -> None:
        """Write the log line and the metrics of an answered request.

        A model becomes a dimension only if it was found: names that callers invent must not create
        metrics. The version is in the log line: as a dimension it would be billed with every
        version anew.
        """
        usual = error is None and context.prediction is not None and self.output.writes_all
        if usual and not (
            context.cache
            or context.job
            or context.answered
            or context.impression is not None
            or context.hidden is not None
            or self._circuits_opened
        ):
            documents, took = self._usual(context, request, response)
        else:
            documents, took = self._any(context, request, response, error)
        if context.event and not context.job:  # an accepted job is captured when it is scored
            documents += self._captured(context, request, took, error)
        self.output.write(*documents)
        if context.span is not None:
            line = _line(context, request, response, {})
            _end_span(context, context.span, line, self.output, cold=self._cold)
        self._cold = False

    def _usual(
        self, context: RequestContext, request: Request, response: Response
    ) -> tuple[list[bytes], dict[str, float]]:
        """The documents of a request that one version answered, and the times of its steps."""
        steps, output, contract = context.steps, self.output, context.contract
        assert contract is not None
        begun, took = steps.started, dict[str, float]()
        for step, ended in steps.ended.items():
            took[step] = int((ended - begun) * 1e6 + 0.5) / 1000  # a third of round's time
            begun = ended
        total = took["total_ms"] = int((steps.timer() - steps.started) * 1e6 + 0.5) / 1000
        slow = total > contract.slo.p95_ms
        rows, refused, fallback = context.rows, context.refused, context.fallback
        route, xray = (request.method, request.route, context.route), context.xray
        key = (route, context.model, context.version, response.status, *took)
        key += (refused > 0, fallback > 0, slow, context.trace_id == "", xray == "")
        if (documents := self._templates.get(key)) is None:
            documents = self._template(context, request, response, took, slow=slow)
            if len(self._templates) >= _TEMPLATES:
                self._templates.clear()
            self._templates[key] = documents
        now, times = output.clock(), orjson.dumps([*took.values()])[1:-1].split(b",")
        values = (
            output.timestamp(now).encode(),
            orjson.dumps(context.id),
            orjson.dumps(request.caller),
            rows,
            refused,
            fallback,
            len(request.raw),
            len(response.body),
            *times,
            *([orjson.dumps(context.trace_id)] if context.trace_id else ()),
            *([orjson.dumps(root_of(xray))] if xray else ()),
            int(now * 1000),
            *[count for count in (rows, refused, fallback) if count],
            *times,
        )
        return [documents % values], took

    def _template(
        self,
        context: RequestContext,
        request: Request,
        response: Response,
        took: Mapping[str, float],
        *,
        slow: bool,
    ) -> bytes:
        """The line and the metrics of a usual request, with places for what differs."""
        output, times = self.output, dict.fromkeys(took, b"%b")
        line = output.line("INFO", "predicted", _line(context, request, response, took))
        dimensions, counts = _measured(context, None, slow=slow)
        counted = {name: count for name, count in counts.items() if count}
        metrics = output.metrics(dimensions, {**counted, **took})
        places = dict.fromkeys(_ROWS, b"[%d.0]") | dict.fromkeys(took, b"[%b]")
        return template(line, _PLACES | times) + b"\n" + template(metrics, places)

    def _any(
        self, context: RequestContext, request: Request, response: Response, error: Exception | None
    ) -> tuple[list[bytes], dict[str, float]]:
        """The documents of an answered request, and the times of its steps."""
        times = context.steps.milliseconds()
        line = _line(context, request, response, times)
        level, event = "INFO", "accepted" if context.job else "predicted"
        if request.route.startswith("/jobs") or request.method == "OPTIONS":
            event = "answered"
        if context.impression is not None:
            event = "recommended"
            line |= _recommended(context.impression)
        if context.hidden is not None:
            level = "WARNING"
            line |= _failure(context.hidden)[2]
        if error is not None:
            level, event, about = _failure(error)
            line |= about
        contract = context.contract
        slow = contract is not None and times["total_ms"] > contract.slo.p95_ms
        dimensions, counts = _measured(context, error, slow=slow)
        counts["circuit_opened_count"] = self._circuits_opened
        self._circuits_opened = 0
        output = self.output
        others = _rows_of_others(context, counts) if len(context.answered) > 1 else {}
        counts = {name: count for name, count in counts.items() if count}
        documents = [
            output.line(level, event, line),
            output.metrics(dimensions, {**counts, **times}),
            *[output.metrics(dimensions | {"route": r}, own) for r, own in others.items()],
        ]
        return documents, {step: line[step] for step in times}

    def _captured(
        self,
        context: RequestContext,
        request: Request,
        took: Mapping[str, float],
        error: Exception | None,
    ) -> list[bytes]:
        """The capture of a request; `took` are the times of its steps in milliseconds."""
        contract, prediction = context.contract, context.prediction
        failed = error or context.hidden
        assert contract is not None
        plan: CapturePlan = contract.compiled[CapturePlan]
        event: dict[str, Any] = {
            "event": context.event,
            "path": "online",
            "route": context.route,
            "request_id": context.id,
            "caller": request.caller,
            "ms": took,
        }
        if context.trace_id:
            event["trace_id"] = context.trace_id
        if self._cold:
            event["cold"] = True
        if context.answered or context.taken_out or context.asked:
            from quintet.captures.versions import Began, version_lines  # most models have none

            event["rows"], answered = context.rows, context.answered
            event["event_time"] = answered[0].now if answered else self.output.clock()
            began = Began(contract, context.route, context.rollout, context.asked)
            taken_out = context.taken_out
            lines = version_lines(event, answered, taken_out, failed, [began], seal=self._seal)
        elif failed is None and prediction is not None:
            event["event_time"] = prediction.now
            lines = prediction_lines(plan, event, prediction, seal=self._seal)
        else:
            event["event_time"] = self.output.clock()
            if context.rollout:
                event["rollout"] = context.rollout
            if request.wants_job or request.route.endswith("/async-invocations"):
                event["path"] = "async"
            lines = [] if failed is None else [failure_line(plan, event, failed, context.rows)]
        if context.impression is not None and error is None:
            if context.rollout:
                event["rollout"] = context.rollout
            lines.append(impression_line(plan, event, context.impression, context.rows))
        return lines

    def begin(self, context: RequestContext, part: Part) -> None:
        """Write that a version begins to answer a canary's request: a crash of it leaves no end."""
        capture = part.route.model.contract.capture
        if capture is None:
            return
        context.event = context.event or new_event()
        if taken(context.event, capture.rate):
            about: dict[str, Any] = {"event": context.event, "event_time": self.output.clock()}
            about["request_id"] = context.id
            self.output.write(begun_line(about, part.route, part.batch.entities))

    def taken_out(self, model: str, version: int, error: QuintetError) -> None:
        """Log that a version beside the live one cannot answer: the live version does."""
        self.output.warning(
            "version taken out",
            model=model,
            version=version,
            error=type(error).__name__,
            reason=str(error),
        )

    def outdated(self, model: str, age: float, error: Transient) -> None:
        """Log that a route could not be read: the one read `age` seconds ago goes on."""
        self.output.warning("old route used", model=model, age_s=round(age, 1), reason=str(error))

    def circuit_changed(self, name: str, state: str) -> None:
        """Log that a circuit breaker opened, probes or closed."""
        if state == "OPEN":
            self._circuits_opened += 1  # written with the request's own metrics
            self.output.warning("circuit changed", circuit=name, state=state)
        else:
            self.output.info("circuit changed", circuit=name, state=state)

    def crashed(self, crash: Crash) -> None:
        """Log that a version ended the last process of this environment."""
        name, version = crash.model, crash.version
        self.output.warning("model crashed", model=name, version=version, crashes=crash.count)


#: the metrics that count the rows of a request
_ROWS = ("rows_count", "refused_rows_count", "fallback_rows_count")


def _measured(
    context: RequestContext, error: Exception | None, *, slow: bool
) -> tuple[dict[str, str], dict[str, int]]:
    """The dimensions of a request's metrics, none if no model was found, and what counts of it."""
    dimensions = {}
    if context.model:
        route = context.route if context.route in _ROLLOUT else "live"
        dimensions = {"model": context.model, "route": route}
    refused = isinstance(error, BadInput)
    counts = {
        "requests_count": 1,
        "refused_requests_count": refused,
        "failed_requests_count": error is not None and not refused,
        "slow_requests_count": slow and error is None,
        "rows_count": context.rows,
        "refused_rows_count": context.refused,
        "fallback_rows_count": context.fallback,
        "cache_hits_count": context.cache == "hit",
        "hidden_failures_count": context.hidden is not None,
    }
    if context.impression is not None:
        counts[f"recommended_{context.impression['step']}_count"] = 1
    return dimensions, counts


def _rows_of_others(context: RequestContext, counts: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The counts of rows of the other routes of a request, taken out of those of its own.

    The request itself counts once, with a canary if that answers some of its rows.
    """
    found: dict[str, Counter[str]] = {}
    for one in context.answered:
        route = one.route if one.route in _ROLLOUT else "live"
        of = found.setdefault(route, Counter())
        of["rows_count"] += one.batch.rows
        of["refused_rows_count"] += one.batch.rows - len(one.scores.index)
        of["fallback_rows_count"] += int(one.scores.fallback.sum())
    counts.update(found.pop(context.route if context.route in _ROLLOUT else "live"))
    return {route: {name: n for name, n in of.items() if n} for route, of in found.items()}


def _line(
    context: RequestContext, request: Request, response: Response, times: Mapping[str, float]
) -> dict[str, Any]:
    """The fields of a request's log line."""
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
        line[step] = int(milliseconds * 1000 + 0.5) / 1000  # a third of round's time
    if context.trace_id:
        line["trace_id"] = context.trace_id
    if context.cache:
        line["cache"] = context.cache
    if context.job:
        line["job"] = context.job
    if context.answered:  # by a rollout's versions
        line["versions"] = {str(one.contract.version): one.batch.rows for one in context.answered}
    return line


def _recommended(impression: Mapping[str, Any]) -> dict[str, Any]:
    """The log fields of a recommendation: what decided it, and counts; no items."""
    filtered = {reason: len(items) for reason, items in impression["filtered"].items() if items}
    candidates = impression["candidates"] or {}
    return {
        "step": impression["step"],
        "why": impression["why"] or None,
        "items": len(impression["items"]),
        "explored": impression["explored"] or None,
        "filtered": filtered or None,
        "unknown_context_items": impression["context"].get("unknown") or None,
        "candidates_run": candidates.get("run"),
        "candidates_age_s": candidates.get("age_s"),
    }


def _end_span(
    context: RequestContext,
    span: Span,
    line: Mapping[str, Any],
    output: StdoutTelemetry,
    *,
    cold: bool,
) -> None:
    """Send the span of a request, with its steps; `line` is the request's log line."""
    for name in _ANNOTATIONS:
        if value := line.get(name):
            span.about[name] = value
    if cold:
        span.about["cold"] = True
    if context.event:
        span.about["event"] = context.event
    offset = span.started - context.steps.started
    begun = span.started
    for step, ended in context.steps.ended.items():
        span.steps.append((step.removesuffix("_ms"), begun, ended + offset))
        begun = ended + offset
    status = line["status"]
    if status >= 400:
        span.failure = "fault" if status >= 500 else "throttle" if status == 429 else "error"
    span.end(output.environ, output.clock())


def _failure(error: Exception) -> tuple[str, str, dict[str, Any]]:
    """The level and event of a failed request, and the log fields of its error."""
    about: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, BadInput):
        # the caller may have chosen the fields' names: log only their number
        return "INFO", "refused", about | {"refusals": len(error.refusals)}
    if isinstance(error, QuintetError):
        return "ERROR", "failed", about | {"reason": str(error)}
    return "ERROR", "failed", about | {"stack": _stack(error)}


def _stack(error: BaseException) -> list[str]:
    """The stack of an error, without its message, which may quote the request."""
    import traceback  # not at a cold start

    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
