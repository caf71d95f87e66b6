"""Estimate a run's cost from a dated table of list prices, before free tiers and discounts."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["estimate", "prices"]

#: state transitions of the state machine itself, and of one child of its map
RUN_TRANSITIONS, UNIT_TRANSITIONS = 9, 2
#: approximate requests of a unit: plan, manifest, input in parts; scores, quarantine, result
UNIT_READS, UNIT_WRITES = 8, 3


@cache
def prices() -> dict[str, Any]:
    """The price table, prices.toml: US dollars per unit, by service."""
    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))


def estimate(
    *, units: int, busy_seconds: float, memory_mb: int, write_units: int = 0
) -> dict[str, Any]:
    """Estimate the cost of scoring, without the two invocations that plan and report.

    `write_units` are those of the candidates table.
    """
    table = prices()
    gigabyte_seconds = busy_seconds * memory_mb / 1024
    lambda_, s3 = table["lambda"], table["s3"]
    transitions = RUN_TRANSITIONS + units * UNIT_TRANSITIONS
    parts = {
        "lambda": gigabyte_seconds * lambda_["gb_second"] + (units + 2) * lambda_["request"],
        "step_functions": transitions * table["step_functions"]["transition"],
        "s3": units * (UNIT_READS * s3["read"] + UNIT_WRITES * s3["write"]),
    }
    if write_units:
        parts["dynamodb"] = write_units * table["dynamodb"]["write_unit"]
    return {
        "usd": round(sum(parts.values()), 6),
        "parts": {name: round(usd, 6) for name, usd in parts.items()},
        "gb_seconds": round(gigabyte_seconds, 3),
        "prices": f"an estimate at the list prices of {table['region']} of {table['year']}",
    }
