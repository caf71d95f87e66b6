"""report_run: counts the units of a run, checks in = scored + quarantined, writes the report."""

from __future__ import annotations

from typing import Any

from quintet.batch.executions import execution_input
from quintet.errors import check_event
from quintet.wiring import batch as wiring
from quintet.wiring import common


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Report a run; return its status, cause of failure, keys, callback and W3C context."""
    check_event(event, "a run of the state machine", "run", "request")
    attempt = execution_input(event["run"], event["request"])
    with wiring.traced(attempt.folder.run, attempt.request) as traceparent:
        summary = wiring.reporter()(attempt.folder, event.get("failure"))
    common.logger().info("reported", **summary)
    return {
        **summary,
        "callback": attempt.request.get("callback"),
        "traceparent": traceparent,
    }
