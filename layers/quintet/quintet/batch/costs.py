"""What a run costs, about: from a dated table of list prices, before free tiers and discounts."""

from __future__ import annotations

from typing import Any

__all__ = ["estimate"]

#: US dollars in us-east-1, x86_64, as listed in this year; the one place to change them:
#: https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/step-functions/pricing/
#: https://aws.amazon.com/s3/pricing/
YEAR = 2025
LAMBDA_GB_SECOND = 0.0000166667
LAMBDA_REQUEST = 0.20 / 1e6
STATE_TRANSITION = 0.025 / 1e3
S3_WRITE = 0.005 / 1e3
S3_READ = 0.0004 / 1e3

#: the state machine's own states, and those of one child of its map
RUN_TRANSITIONS, UNIT_TRANSITIONS = 8, 2
#: of a unit, about: the plan, the model's manifest, its input in parts; scores, quarantine, result
UNIT_READS, UNIT_WRITES = 8, 3


def estimate(*, units: int, busy_seconds: float, memory_mb: int) -> dict[str, Any]:
    """The cost of scoring: planning and reporting are two invocations more, and left out."""
    gigabyte_seconds = busy_seconds * memory_mb / 1024
    parts = {
        "lambda": gigabyte_seconds * LAMBDA_GB_SECOND + (units + 2) * LAMBDA_REQUEST,
        "step_functions": (RUN_TRANSITIONS + units * UNIT_TRANSITIONS) * STATE_TRANSITION,
        "s3": units * (UNIT_READS * S3_READ + UNIT_WRITES * S3_WRITE),
    }
    return {
        "usd": round(sum(parts.values()), 6),
        "parts": {name: round(usd, 6) for name, usd in parts.items()},
        "gb_seconds": round(gigabyte_seconds, 3),
        "prices": f"an estimate at the list prices of us-east-1 of {YEAR}",
    }
