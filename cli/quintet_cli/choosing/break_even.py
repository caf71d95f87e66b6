"""From which steady load a server costs less than the API and its function."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from quintet.batch.costs import prices

__all__ = ["MEMORY_MB", "BreakEven", "break_even", "function_usd", "server_usd"]

#: the default of the template's `PredictMemoryMb`: one vCPU
MEMORY_MB = 1769
#: a task of the server: vCPUs and GB; at least two, in two zones; how busy they are at most, so
#: that one of two may fail
TASK_VCPUS, TASK_GB, MIN_TASKS, BUSY = 1, 2, 2, 0.5
#: new connections a second of one capacity unit of the load balancer; each request opens one
UNIT_CONNECTIONS = 25
#: tasks up to which a break-even is looked for
MOST_TASKS = 10_000
MONTH_HOURS = 730


class BreakEven(BaseModel):
    """The lowest steady load at which a server costs no more, and what both then cost."""

    model_config = ConfigDict(frozen=True)

    requests_per_second: float
    usd_month: float
    tasks: int
    model_ms: float


def function_usd(model_ms: float) -> float:
    """Return the dollars of one request: API Gateway and Lambda, which a server replaces."""
    table = prices()
    gb_seconds = model_ms / 1000 * MEMORY_MB / 1024
    request = table["api_gateway"]["request"] + table["lambda"]["request"]
    return float(request + gb_seconds * table["lambda"]["gb_second"])


def server_usd(rate: float, model_ms: float) -> float:
    """Return the dollars of an hour: tasks of Fargate for `rate` requests a second, a balancer."""
    tasks = max(MIN_TASKS, math.ceil(rate * model_ms / 1000 / BUSY / TASK_VCPUS))
    return _standing_usd(tasks) + rate * _connection_usd()


def break_even(model_ms: float) -> BreakEven | None:
    """Return the lowest rate at which a server costs no more, or None if it always costs more.

    Reads from the store and logs cost the same on both sides and are left out; so is the work of
    running servers.

    Args:
        model_ms: what one request takes of a vCPU, in milliseconds.
    """
    saved = function_usd(model_ms) * 3600 - _connection_usd()
    for tasks in range(MIN_TASKS, MOST_TASKS + 1):
        rate = math.ceil(_standing_usd(tasks) / saved * 10) / 10
        if rate <= tasks * TASK_VCPUS * BUSY * 1000 / model_ms:
            return BreakEven(
                requests_per_second=rate,
                usd_month=round(rate * 3600 * MONTH_HOURS * function_usd(model_ms), 2),
                tasks=tasks,
                model_ms=model_ms,
            )
    return None


def _standing_usd(tasks: int) -> float:
    fargate = prices()["fargate"]
    task = TASK_VCPUS * fargate["vcpu_hour"] + TASK_GB * fargate["gb_hour"]
    return float(tasks * task + prices()["load_balancer"]["hour"])


def _connection_usd() -> float:
    """Return the dollars of an hour with one request a second."""
    return float(prices()["load_balancer"]["unit_hour"]) / UNIT_CONNECTIONS
