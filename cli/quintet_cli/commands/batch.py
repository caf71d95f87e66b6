"""`quintet drop` and `quintet runs`: score files, and see what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from quintet.batch.planning import KEEP, OUTPUT
from quintet.batch.plans import Plan
from quintet.batch.run_paths import RunPaths, run_name
from quintet_cli.options import Form, Keep, StageName, State
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.views.run import colored, finish, follow, print_report

__all__ = ["register"]

WIDTH = 160

runs = typer.Typer(no_args_is_help=True, help="See the runs that score files.")
console = Console(highlight=False)

Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]
Run = Annotated[str | None, typer.Argument(help="The run; by default the newest.", metavar="RUN")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command()(drop)
    app.add_typer(runs, name="runs")


def drop(
    file: Annotated[
        Path,
        typer.Argument(help="CSV, JSONL or Parquet.", metavar="FILE", exists=True, dir_okay=False),
    ],
    model: Model,
    *,
    output: Annotated[
        Form, typer.Option("--output", help="The form of the scores; input is the file's own.")
    ] = Form.parquet,
    keep: Keep = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run until its report.")
    ] = True,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Score a file: put it into the inbox, follow its run, print what came of it."""
    opened = Stage.open(stage, state)
    bucket, key = opened.outputs["InboxBucketName"], f"{model}/{file.name}"
    metadata = {OUTPUT: output.value} | ({KEEP: keep} if keep else {})
    with file.open("rb") as body:
        put = opened.client("s3").put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)
    folder = RunPaths(model, run_name(bucket, key, put["VersionId"]))
    console.print(f"run [bold]{folder.run}[/bold]")
    if wait:
        finish(follow(RunReader(opened), folder))


@runs.command("ls")
def list_runs(model: Model, stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """List a model's runs, the newest first."""
    reader = RunReader(Stage.open(stage, state))
    table = Table(box=None, header_style="dim")
    for name in ("started", "run", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("file", overflow="fold")
    for name in ("rows", "scored", "quarantined"):
        table.add_column(name, justify="right")
    table.add_column("readers")
    seen = {pointer["run"] for pointer in reader.pointers(model)}
    lines = [_line(reader, RunPaths(model, name)) for name in reader.names(model)]
    for line in sorted(lines, reverse=True):
        table.add_row(*line, "see it" if line[1] in seen else "")
    # a run's name must come out whole, to be copied: the table may be wider than the terminal
    wide = Console(highlight=False, width=max(console.width, WIDTH))
    wide.print(table if lines else f"no runs of {model} yet")


def _moment(text: str | None) -> str:
    """An ISO 8601 time, to the second."""
    return (text or "")[:19].replace("T", " ")


def _line(reader: RunReader, folder: RunPaths) -> tuple[str, ...]:
    report = reader.report(folder)
    if report is None:
        plan = reader.plan(folder)
        if not isinstance(plan, Plan):
            return ("", folder.run, "starting", "", "", "", "")
        return (
            _moment(plan.started),
            folder.run,
            "running",
            plan.input.key,
            f"{plan.rows:,}",
            "",
            "",
        )
    counts = report["counts"]
    numbers = (f"{counts[name]:,}" for name in ("rows", "scored", "quarantined"))
    started, source = _moment(report["started"]), report["input"].get("key", "")
    return (started, folder.run, colored(report["status"]), source, *numbers)


@runs.command()
def show(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Print what came of a run."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    print_report(reader.reported(folder))


@runs.command()
def watch(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Follow a run until its report, and print what came of it."""
    reader = RunReader(Stage.open(stage, state))
    finish(follow(reader, RunPaths(model, run) if run else reader.newest(model)))


@runs.command()
def report(
    model: Model,
    run: Run = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write the page.", dir_okay=False)
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Fetch a run's report as a page of HTML."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    page = reader.store.get(folder.page)
    if page is None:
        raise StageError(f"run {folder.run} has no report yet; `quintet runs watch {model}`")
    target = out or Path(f"{folder.run}.html")
    target.write_bytes(page)
    console.print(str(target))
