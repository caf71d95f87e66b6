"""Documents on stdout, as Powertools' Logger and Metrics write them, in a fraction of the time.

tests/quintet/test_telemetry.py compares them with Powertools' output, field by field.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.telemetry.metrics import METRICS

__all__ = ["TRACE", "StdoutTelemetry", "root_of", "template"]

#: as in `logging`, which no cold start needs
_LEVELS = {"NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_LEVELS |= {"WARN": _LEVELS["WARNING"], "FATAL": _LEVELS["CRITICAL"]}
_TRUE = ("1", "y", "yes", "t", "true", "on")
#: the variable of Lambda's that names the trace of each invocation
TRACE = "_X_AMZN_TRACE_ID"


class StdoutTelemetry:
    """The log and the metrics of one function.

    `environ` holds Powertools' variables (service, namespace, log level, whether metrics are
    disabled) and, for each invocation, its X-Ray trace; `clock` is seconds since the epoch.
    """

    def __init__(
        self, stage: str, environ: Mapping[str, str], clock: Callable[[], float] = time.time
    ) -> None:
        self._stage = stage
        self._service = environ.get("POWERTOOLS_SERVICE_NAME", "service_undefined")
        self._namespace = environ.get("POWERTOOLS_METRICS_NAMESPACE", "")
        measures = environ.get("POWERTOOLS_METRICS_DISABLED", "").lower() not in _TRUE
        self._level = _level(environ)
        self._measures = measures
        #: whether neither lines of level INFO nor metrics are left out
        self.writes_all = measures and self._level <= _LEVELS["INFO"]
        self.environ = environ
        self.clock = clock
        self._second, self._second_text = -1, ""  # of the last line
        #: what says of a document which of its fields are metrics, as JSON, by their names
        self._directives: dict[tuple[str, ...], orjson.Fragment] = {}

    def info(self, message: str, **fields: Any) -> None:
        """Write a line of level INFO."""
        self.write(self.line("INFO", message, fields))

    def warning(self, message: str, **fields: Any) -> None:
        """Write a line of level WARNING."""
        self.write(self.line("WARNING", message, fields))

    def line(self, level: str, message: str, fields: Mapping[str, Any]) -> bytes:
        """A log line; empty below the function's log level. None fields are omitted."""
        if _LEVELS[level] < self._level:
            return b""
        if None in fields.values():
            fields = {name: value for name, value in fields.items() if value is not None}
        line = {
            "level": level,
            "message": message,
            "timestamp": self.timestamp(self.clock()),
            "service": self._service,
            "stage": self._stage,
            **fields,
        }
        if trace := self.environ.get(TRACE):
            line["xray_trace_id"] = root_of(trace)
        return orjson.dumps(line, default=str)

    def timestamp(self, now: float) -> str:
        """A time in seconds since the epoch, as a log line has it."""
        # in whole microseconds, as datetime counts
        second, milliseconds = divmod(int(now * 1e6 + 0.5) // 1000, 1000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f"{self._second_text}.{milliseconds:03}+00:00"

    def metrics(self, dimensions: Mapping[str, str], values: Mapping[str, float]) -> bytes:
        """An EMF document of metrics in `METRICS`; empty without values or if metrics are disabled.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        """
        if not values or not self._measures:
            return b""
        of = {"stage": self._stage, **dimensions, "service": self._service}
        names = (*dimensions, *values)
        if (directives := self._directives.get(names)) is None:
            directive = {
                "Namespace": self._namespace,
                "Dimensions": [list(of)],
                "Metrics": [{"Name": name, "Unit": METRICS[name]} for name in values],
            }
            directives = self._directives[names] = orjson.Fragment(orjson.dumps([directive]))
        document: dict[str, Any] = {
            "_aws": {"Timestamp": int(self.clock() * 1000), "CloudWatchMetrics": directives},
            **of,
        }
        for name, value in values.items():
            document[name] = [float(value)]
        return orjson.dumps(document)

    def write(self, *documents: bytes) -> None:
        """Write documents, one per line, in one call."""
        sys.stdout.write(b"\n".join([*filter(None, documents), b""]).decode())
        sys.stdout.flush()


def _level(environ: Mapping[str, str]) -> int:
    """The lowest level that is written. Lambda's own setting overrides Powertools'."""
    for name in ("AWS_LAMBDA_LOG_LEVEL", "POWERTOOLS_LOG_LEVEL", "LOG_LEVEL"):
        if level := environ.get(name):
            return _LEVELS.get(level.upper(), _LEVELS["INFO"])
    return _LEVELS["INFO"]


def root_of(trace: str) -> str:
    """The id of X-Ray's trace in Lambda's variable."""
    return trace.partition(";")[0].replace("Root=", "")


def template(document: bytes, places: Mapping[str, bytes]) -> bytes:
    """A document in which some members, and its time, have a place for a value: `%d` or `%b`."""
    members = orjson.loads(document)
    values = {name: orjson.dumps(value).replace(b"%", b"%%") for name, value in members.items()}
    values |= {name: place for name, place in places.items() if name in values}
    if about := members.get("_aws"):
        directives = orjson.dumps(about["CloudWatchMetrics"]).replace(b"%", b"%%")
        values["_aws"] = b'{"Timestamp":%d,"CloudWatchMetrics":' + directives + b"}"
    named = [orjson.dumps(name) + b":" + value for name, value in values.items()]
    return b"{" + b",".join(named) + b"}"
