"""plan_run: pins the model version and the input, and cuts the input into units."""

from __future__ import annotations

from typing import Any

from quintet.batch.requests import request_from
from quintet.batch.runs import Plan
from quintet.wiring import batch as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Plan a run; where its documents are, and how many units there are to score."""
    request = request_from(event["request"], run=event["run"], started=event["started"])
    plan = wiring.planner()(request)
    units = plan.units if isinstance(plan, Plan) else 0
    status = "planned" if isinstance(plan, Plan) else "refused"
    wiring.logger().info("planned", run=plan.run, status=status, units=units)
    return {"status": status, "units": units, "units_key": plan.folder.units}
