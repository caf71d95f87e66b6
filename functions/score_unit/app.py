"""score_unit: scores one unit of a run."""

from __future__ import annotations

from typing import Any

from quintet.batch.plans import unit_from
from quintet.batch.units import UnitFailed
from quintet.errors import check_event
from quintet.wiring import batch as wiring
from quintet.wiring import common


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Score a unit; return its counts. The scores and the full result are in the scores bucket.

    Given the `failure` of an invocation that left no result, write a result with the cause.

    Raises:
        UnitFailed: the unit cannot be scored; its result says why, and the map counts a failure.
    """
    check_event(event, "a unit of a run", "run", "unit")
    failure = event.get("failure")
    unit = unit_from(event, lenient=bool(failure))
    with wiring.traced_unit(unit):
        result = wiring.crash_noter()(unit, failure) if failure else wiring.scorer()(unit)
        counts = {
            name: result[name] for name in ("unit", "status", "rows", "scored", "quarantined")
        }
        took = {name: result[name] for name in ("ms", "peak_mb") if name in result}
        common.logger().info("scored", run=unit.run, **took, **counts)
        if result["status"] == "failed":
            raise UnitFailed(f"unit {unit.unit} of {unit.run}: {result['reason']}")
    return counts
