"""Requests: how many, how fast, and what is left of the error budgets."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet_cli.budgets import Budgets, budgets_of
from quintet_cli.registry import registry_of
from quintet_cli.stage import Stage
from quintet_cli.traffic import MINUTES, Traffic, traffic_of
from quintet_cli.views.slo import burning_lines, died_line, legend

__all__ = ["Charts", "Slos", "read_slos", "read_traffic"]

#: minutes of the shorter figure
RECENT = 5


@dataclass(frozen=True, slots=True)
class Charts:
    """A row a model, and the series of both charts as the page's script takes them."""

    rows: list[dict[str, Any]]
    requests: dict[str, Any]
    latency: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slos:
    """The budgets, with lines on what burns and on requests without a model."""

    budgets: Budgets
    lines: list[str]
    legend: str


def read_traffic(stage: Stage) -> Charts | None:
    """The traffic of the last hour; None without requests."""
    found = traffic_of(stage, sorted(registry_of(stage).models()), time.time())
    if not found:
        return None
    p95 = [(one.model, one.milliseconds["p95"].tolist()) for one in found]
    asked = [(one.model, one.counts.requests.tolist()) for one in found]
    return Charts([_row(one) for one in found], _series(found, asked), _series(found, p95))


def _row(one: Traffic) -> dict[str, Any]:
    counts = one.counts
    return {
        "model": one.model,
        "hour": counts.requests.sum(),
        "recent": counts.requests[-RECENT:].sum(),
        "failed": counts.failed.sum(),
        "refused": counts.refused.sum(),
        "p50": one.latest("p50"),
        "p95": one.latest("p95"),
    }


def _series(found: list[Traffic], series: Sequence[tuple[str, list[float]]]) -> dict[str, Any]:
    values = [[None if math.isnan(value) else value for value in of] for _, of in series]
    times = np.asarray(found[0].times).tolist() if found else [0] * MINUTES
    return {"names": [name for name, _ in series], "data": [times, *values]}


def read_slos(stage: Stage) -> Slos | None:
    """The error budgets; None without models."""
    budgets = budgets_of(stage, time.time())
    if not budgets.of:
        return None
    return Slos(budgets, [*burning_lines(budgets), died_line(budgets)], legend())
