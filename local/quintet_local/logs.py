"""Functions' logs: a file each, CloudWatch Logs and its subscriptions, EMF lines as metrics.

Lines and metrics go into moto's services directly: by an API call each, they would take more
processor time than the function's invocation takes the rest of the local AWS.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quintet_local.filters import Filter, PatternError, deliveries, matcher
from quintet_local.functions import Function
from quintet_local.names import ACCOUNT, REGION
from quintet_local.newest import File

__all__ = ["Logs", "metric_data"]

log = logging.getLogger(__name__)
FLUSH_SECONDS = 0.3


class Logs:
    """Takes lines from any thread; its own thread forwards them in batches.

    Lines are written to `<folder>/<logical id>.log` at once, of which the newest are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, File] = {}
        self._queue: queue.Queue[tuple[str, str, int, list[str]] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._filters: defaultdict[str, list[tuple[Filter, Callable[[str], bool]]]]
        self._filters = defaultdict(list)

    def __call__(self, function: Function, stream: str, lines: list[str]) -> None:
        try:
            self._write(function.logical_id, lines)
        except OSError as error:  # a full disk must not fail a call
            log.warning("%s: its log cannot be written: %s", function.logical_id, error)
        self._queue.put((function.log_group, stream, int(time.time() * 1000), lines))

    def _write(self, logical_id: str, lines: list[str]) -> None:
        file = self._files.get(logical_id)
        if file is None:
            file = self._files[logical_id] = File(self._folder / f"{logical_id}.log")
        file.write("".join(line + "\n" for line in lines).encode("utf-8", "replace"))

    def start(self, filters: Sequence[Filter], call: Callable[[str, bytes], None]) -> None:
        """Start forwarding lines, including those already received.

        `call` calls a function asynchronously, for the subscription filters.
        """
        from moto.cloudwatch.models import cloudwatch_backends
        from moto.logs.models import logs_backends

        self._logs: Any = logs_backends[ACCOUNT][REGION]
        self._cloudwatch: Any = cloudwatch_backends[ACCOUNT][REGION]
        self._call = call
        for filter_ in filters:
            with contextlib.suppress(PatternError):  # a notice says that it is not honoured
                self._filters[filter_.log_group].append((filter_, matcher(filter_.pattern)))
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Forward the remaining lines, and close the files."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=5)
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()

    def _run(self) -> None:
        over = False
        while not over:
            batch = [self._queue.get()]
            time.sleep(FLUSH_SECONDS)
            while not self._queue.empty():
                batch.append(self._queue.get())
            over = None in batch
            try:
                self._pass_on([item for item in batch if item is not None])
            except Exception:
                log.exception("logs could not be passed on")

    def _pass_on(self, items: list[tuple[str, str, int, list[str]]]) -> None:
        events: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        metrics: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for group, stream, stamp, lines in items:
            for line in lines:
                # CloudWatch refuses an empty message
                events[group, stream].append({"timestamp": stamp, "message": line or " "})
                if '"_aws"' in line:
                    for namespace, datum in metric_data(line):
                        metrics[namespace].append(datum)
        for (group, stream), entries in events.items():
            self._deliver(group, stream, entries)
            self._logs.ensure_log_group(group)
            self._logs.ensure_log_stream(group, stream)
            self._logs.put_log_events(group, stream, entries)
        for namespace, data in metrics.items():
            self._cloudwatch.put_metric_data(namespace, data)

    def _deliver(self, group: str, stream: str, entries: Sequence[dict[str, Any]]) -> None:
        """Call the functions that subscribe to a log group with the lines that they asked for."""
        for filter_, matches in self._filters[group]:
            lines = [(e["timestamp"], e["message"]) for e in entries if matches(e["message"])]
            for event in deliveries(filter_, stream, lines):
                self._call(filter_.function, event)


def metric_data(line: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the metrics of a line in the embedded metric format, each with its namespace.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    try:
        entry = json.loads(line)
        directives = entry["_aws"]["CloudWatchMetrics"]
        stamp = _moment(entry["_aws"].get("Timestamp", 0))
        return [
            (directive["Namespace"], datum)
            for directive in directives
            for datum in _data(entry, directive, stamp)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return []  # not EMF after all: CloudWatch ignores such a line too


def _moment(milliseconds: float) -> datetime:
    """A time as moto keeps it: in UTC, without a zone."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)


def _data(
    entry: dict[str, Any], directive: dict[str, Any], stamp: datetime
) -> list[dict[str, Any]]:
    data = []
    for metric in directive["Metrics"]:
        value = entry[metric["Name"]]
        values = [float(v) for v in value] if isinstance(value, list) else [float(value)]
        for dimensions in directive.get("Dimensions") or [[]]:
            data.append(
                {
                    "MetricName": metric["Name"],
                    "Dimensions": [{"Name": d, "Value": str(entry[d])} for d in dimensions],
                    "Timestamp": stamp,
                    "Values": values,
                    "Unit": metric.get("Unit", "None"),
                }
            )
    return data
