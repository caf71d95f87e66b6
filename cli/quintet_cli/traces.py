"""The waterfall of a trace, from the spans that the functions sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Row", "spans_of", "waterfall"]

#: the annotations that name what a span is about
NAMES = ("request_id", "job", "run", "event", "alert")
#: annotations that a row does not repeat
_HIDDEN = {"w3c_trace", "w3c_parent", "stage"}


@dataclass(frozen=True, slots=True)
class Row:
    """A span or, with `step`, a part of one: seconds from the start of the trace, and its length.

    `depth` counts the spans that it is under.
    """

    name: str
    depth: int
    start: float
    took: float
    failed: bool = False
    step: bool = False
    about: Mapping[str, Any] | None = None


def spans_of(documents: Iterable[Mapping[str, Any]], identity: str) -> list[Mapping[str, Any]]:
    """The spans of all traces that an id names, by start.

    It is a W3C or X-Ray trace id, or the id of a request, job, run, event or stream record.
    """
    spans = list(documents)
    traces = {span["annotations"].get("w3c_trace") for span in spans if _is_about(span, identity)}
    found = [span for span in spans if span["annotations"].get("w3c_trace") in traces]
    return sorted(found, key=lambda span: float(span["start_time"]))


def waterfall(spans: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows of spans: each under the span that caused it, in the order of their start."""
    ordered = sorted(spans, key=lambda span: float(span["start_time"]))
    known = {span["id"] for span in ordered}
    under: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for span in ordered:
        parent = span["annotations"].get("w3c_parent", "")
        under[parent if parent in known and parent != span["id"] else ""].append(span)
    rows: list[Row] = []
    waiting = [(span, 0) for span in reversed(under[""])]
    zero = min((float(span["start_time"]) for span in ordered), default=0.0)
    while waiting:
        span, depth = waiting.pop()
        rows.append(_row(span, depth, zero))
        rows += [_row(step, depth + 1, zero, step=True) for step in span.get("subsegments", ())]
        # a run that is requested again has two first spans of one id
        waiting += [(child, depth + 1) for child in reversed(under.pop(span["id"], []))]
    return rows


def _is_about(span: Mapping[str, Any], identity: str) -> bool:
    about = span["annotations"]
    names = [span.get("trace_id"), about.get("w3c_trace"), *(about.get(name) for name in NAMES)]
    return identity in names or _holds_record(about, identity)


def _holds_record(about: Mapping[str, Any], identity: str) -> bool:
    """Whether a batch of a stream holds a record.

    A record is named by its sequence number, alone or after its shard, or by an alert's id.
    """
    if "shard" not in about:
        return False
    sequence = identity.removeprefix(f"{about['shard']}/").partition("/")[0]
    return sequence.isdecimal() and int(about["first"]) <= int(sequence) <= int(about["last"])


def _row(span: Mapping[str, Any], depth: int, zero: float, *, step: bool = False) -> Row:
    start, end = float(span["start_time"]), float(span["end_time"])
    about = {k: v for k, v in span.get("annotations", {}).items() if k not in _HIDDEN}
    failed = bool(span.get("error") or span.get("fault"))
    return Row(span["name"], depth, start - zero, end - start, failed, step, about)
