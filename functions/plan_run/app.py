"""plan_run: pins the model version and the input, and cuts the input into units."""

from __future__ import annotations

from typing import Any

from quintet.batch.executions import execution_input
from quintet.batch.plans import Plan
from quintet.batch.requests import request_from
from quintet.errors import check_event
from quintet.wiring import batch as wiring
from quintet.wiring import common


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Plan a run; return where its documents are and how many units there are to score."""
    check_event(event, "a run of the state machine", "run", "request", "started")
    attempt = execution_input(event["run"], event["request"])
    run, started = attempt.folder.run, event["started"]
    with wiring.traced(run, attempt.request):
        request = request_from(attempt.request, run=run, started=started)
        plan = wiring.planner()(request, attempt.redrive)
        status, key, units = "refused", None, 0
        if isinstance(plan, Plan):
            status, key, units = "planned", plan.units_key, plan.units
            if attempt.redrive:
                key, units = wiring.redriver()(plan, event["run"])
    common.logger().info("planned", run=run, status=status, units=units, redrive=attempt.redrive)
    return {"status": status, "units": units, "units_key": key}
