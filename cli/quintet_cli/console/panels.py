"""The panels of the console, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quintet_cli.console.sources.models import read_models
from quintet_cli.console.sources.records import read_captures, read_drift
from quintet_cli.console.sources.refusals import read_refusals
from quintet_cli.console.sources.rollouts import read_rollouts
from quintet_cli.console.sources.service import read_slos, read_traffic
from quintet_cli.console.sources.streams import read_stream
from quintet_cli.console.sources.work import read_jobs, read_runs

__all__ = ["PANELS", "Panel"]


@dataclass(frozen=True, slots=True)
class Panel:
    """A section of the page: templates/panels/<name>.html shows what `read` gives.

    `empty` names the command that fills it where there is nothing to show; `{at}` is the option of
    the stage. `asks` are fields of the page that `read` takes, by name, with their labels. On AWS,
    where reads cost, it reads once in `seconds`.
    """

    name: str
    title: str
    read: Callable[..., Any]
    empty: str
    asks: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


_PUBLISH = "No model is published: `quintet publish DIR{at}` publishes a package."

PANELS = {
    panel.name: panel
    for panel in (
        Panel("models", "Models and routes", read_models, _PUBLISH),
        Panel("rollouts", "Rollouts", read_rollouts, _PUBLISH),
        Panel(
            "traffic",
            "Traffic and latency",
            read_traffic,
            "No request in the last hour: `quintet predict MODEL --records FILE{at}` sends some. "
            "On AWS, counts arrive within two minutes.",
            seconds=60,
        ),
        Panel("slo", "Error budgets", read_slos, _PUBLISH, seconds=120),
        Panel(
            "jobs",
            "Jobs",
            read_jobs,
            "This owner has no jobs: a request with `Prefer: respond-async` makes one; "
            "`quintet jobs ls --owner ARN{at}` lists another caller's.",
            asks={"owner": "Jobs of the caller (an ARN, or a key's name)"},
        ),
        Panel(
            "runs",
            "Runs",
            read_runs,
            "No file was scored yet: `quintet drop FILE MODEL{at}` scores one.",
        ),
        Panel(
            "stream",
            "Stream",
            read_stream,
            "No record was scored yet: `quintet stream send FILE MODEL{at}` sends some.",
        ),
        Panel(
            "drift",
            "Drift",
            read_drift,
            "No day was reported yet: `quintet monitor MODEL --day YYYY-MM-DD{at}` reports one; "
            "each day is reported in the night after it.",
        ),
        Panel(
            "captures",
            "Captures",
            read_captures,
            "No capture of the last day: models whose contract has `capture` leave some when "
            "`quintet predict MODEL --records FILE{at}` or a client asks them.",
        ),
        Panel(
            "refused",
            "Quarantine and dead letters",
            read_refusals,
            "Nothing was refused or given up; `quintet dlq ls{at}` lists where it would be.",
        ),
    )
}
