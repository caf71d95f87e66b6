"""Spans, sent as X-Ray subsegments to the daemon of Lambda's sandbox: one UDP datagram each.

There is no SDK and no layer: X-Ray's SDK is in maintenance, and OpenTelemetry's layer costs a
second of cold start. A function imports this module at its first sampled invocation.

X-Ray's trace id is the one that Lambda gives to an invocation, so X-Ray shows a span under its
function. The W3C trace, which connects the functions, is an annotation of each span.
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import orjson

from quintet.telemetry import w3c

__all__ = ["Annotation", "Failure", "Span", "begin", "subsegment"]

Annotation = str | int | float | bool
#: as X-Ray names them: the caller's error, a throttled caller, or an error of ours
Failure = Literal["error", "throttle", "fault"]

#: before each document; https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html
HEADER = b'{"format": "json", "version": 1}\n'
#: X-Ray accepts annotations of at most 1,000 characters
MAX_TEXT = 1_000
_ROOT = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(slots=True)
class Span:
    """A span that has begun, at `started` (epoch seconds).

    `trace`, `id` and `parent` are W3C ids; `parent` is empty in the first span of a trace. `root`
    and `segment` are X-Ray's trace and the function's segment. `about` are the annotations, `steps`
    the name, start and end (epoch seconds) of each part, `failure` is whose error it was.
    """

    trace: str
    parent: str
    id: str
    root: str
    segment: str
    started: float
    about: dict[str, Annotation] = field(default_factory=dict)
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    failure: Failure | None = None

    @property
    def traceparent(self) -> str:
        """The W3C context for what this span starts."""
        return f"00-{self.trace}-{self.id}-01"

    def become(self, traceparent: str) -> None:
        """Take the trace and the id of a W3C context that others already use as their parent's."""
        self.trace, self.id = traceparent[3:35], traceparent[36:52]

    def end(self, environ: Mapping[str, str], at: float) -> None:
        """Send the span, which ended `at` (epoch seconds), to the daemon that `environ` names.

        Nothing waits for it, and a span that cannot be sent is lost.
        """
        daemon = _daemon(environ.get("AWS_XRAY_DAEMON_ADDRESS", ""))
        if daemon is None:
            return
        name = environ.get("POWERTOOLS_SERVICE_NAME", "quintet")
        self.about["stage"] = environ.get("QUINTET_STAGE", "")
        try:
            daemon.send(HEADER + subsegment(self, name, at))
        except OSError:  # no daemon listens, or its buffer is full
            return


def begin(xray: str, traceparent: str, at: float) -> Span | None:
    """Begin a span at a time (epoch seconds); None if X-Ray does not sample the invocation.

    `xray` is Lambda's _X_AMZN_TRACE_ID. Without a valid `traceparent`, the W3C trace id has the
    digits of X-Ray's.
    """
    fields = dict(part.split("=", 1) for part in xray.split(";") if "=" in part)
    root, segment = fields.get("Root", ""), fields.get("Parent", "")
    if fields.get("Sampled") != "1" or not (_ROOT.fullmatch(root) and _ID.fullmatch(segment)):
        return None
    trace, parent = w3c.trace_id(traceparent), traceparent[36:52]
    if not trace:
        trace, parent = root[2:10] + root[11:], ""
    return Span(trace, parent, os.urandom(8).hex(), root, segment, at)


def subsegment(span: Span, name: str, ended: float) -> bytes:
    """The document of a span that is sent apart from its segment: at most 64 kB."""
    about: dict[str, Annotation] = {"w3c_trace": span.trace}
    if span.parent:
        about["w3c_parent"] = span.parent
    for key, value in span.about.items():
        about[key] = value[:MAX_TEXT] if isinstance(value, str) else value
    document = {
        "type": "subsegment",
        "name": name,
        "id": span.id,
        "trace_id": span.root,
        "parent_id": span.segment,
        "start_time": span.started,
        "end_time": ended,
        "annotations": about,
    }
    if span.failure is not None:
        document[span.failure] = True
        if span.failure == "throttle":
            document["error"] = True
    if span.steps:
        first = int(span.id, 16) + 1
        document["subsegments"] = [
            {"name": step, "id": f"{(first + n) % 2**64:016x}", "start_time": a, "end_time": b}
            for n, (step, a, b) in enumerate(span.steps)
        ]
    return orjson.dumps(document)


@cache
def _daemon(address: str) -> socket.socket | None:
    """A socket that sends to a daemon's address, `host:port`; None without one."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return None
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setblocking(False)
    sender.connect((host, int(port)))
    return sender
