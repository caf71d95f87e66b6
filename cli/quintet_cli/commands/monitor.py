"""`quintet monitor`: the report of a model's day."""

from __future__ import annotations

import json
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from quintet.aws.captures import CaptureBucket
from quintet_cli.options import Model, StageName, State, report_file
from quintet_cli.registry import route_of
from quintet_cli.results import prints
from quintet_cli.shapes import Day
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command("monitor")(monitor)


@prints(Day)
def monitor(
    model: Model,
    *,
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="The day, in UTC; by default yesterday."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page; by default in STATE/reports.", dir_okay=False),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Day:
    """Report a day of a model, from its captures, and download the page.

    A day that goes on is reported until now.
    """
    opened = Stage.open(stage, state)
    route_of(opened, model)
    moment = day or datetime.now(UTC) - timedelta(days=1)
    found = _run(opened, model, moment.date().isoformat())
    stored = CaptureBucket(opened.signed("s3"), opened.outputs["CapturesBucketName"]).get(
        found["page"]
    )
    if stored is None:
        raise StageError(
            f"{found['page']} was deleted meanwhile", command=f"quintet monitor {model}"
        )
    target = report_file(state, out, f"{model}-{found['day']}.html")
    target.write_bytes(stored.body)
    rows = ", ".join(f"{number:,} {name}" for name, number in found["rows"].items())
    for line in (
        f"{model} on {found['day']}: {rows}",
        f"  moved: {', '.join(found['moved']) or 'none'}",
        f"  drifting (moved on 2 of 3 days): {', '.join(found['drifting']) or 'none'}",
        str(target),
    ):
        console.print(line, markup=False, soft_wrap=True)
    if show:
        webbrowser.open(target.resolve().as_uri())
    told: Day = {**found, "file": str(target)}  # type: ignore[typeddict-item]
    return told


def _run(stage: Stage, model: str, day: str) -> dict[str, Any]:
    """Let the stage write the report; return its summary."""
    asked = json.dumps({"model": model, "day": day})
    answer = stage.client("lambda").invoke(
        FunctionName=stage.outputs["ReportDayName"], Payload=asked.encode()
    )
    body = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise StageError(
            f"report_day could not report {model}: {body.get('errorMessage', body)}",
            command="quintet logs ReportDay",
        )
    found: dict[str, Any] = body[0]
    return found
