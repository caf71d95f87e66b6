"""`quintet drop` and `quintet runs`: score files, and see what became of them."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import progress
from rich.console import Console
from rich.table import Table

from quintet.batch.planning import OUTPUT
from quintet.batch.runs import Folder, Plan, run_name
from quintet_cli.options import StageName, State
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError

__all__ = ["register"]

POLL_SECONDS = 0.5
#: after so many polls without a plan it is looked up whether the execution has failed
PATIENCE = 20
WIDTH = 160

runs = typer.Typer(no_args_is_help=True, help="See the runs that score files.")
console = Console(highlight=False)

Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]
Run = Annotated[str | None, typer.Argument(help="The run; by default the newest.", metavar="RUN")]


class Form(StrEnum):
    """The forms that scores can have."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"
    input = "input"


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
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run until its report.")
    ] = True,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Score a file: put it into the inbox, follow its run, print what came of it."""
    opened = Stage.open(stage, state)
    bucket, key = opened.outputs["InboxBucketName"], f"{model}/{file.name}"
    with file.open("rb") as body:
        put = opened.client("s3").put_object(
            Bucket=bucket, Key=key, Body=body, Metadata={OUTPUT: output.value}
        )
    folder = Folder(model, run_name(bucket, key, put["VersionId"]))
    console.print(f"run [bold]{folder.run}[/bold]")
    if wait:
        _finish(_follow(RunReader(opened), folder))


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
    lines = [_line(reader, Folder(model, name)) for name in reader.names(model)]
    for line in sorted(lines, reverse=True):
        table.add_row(*line, "see it" if line[1] in seen else "")
    # a run's name must come out whole, to be copied: the table may be wider than the terminal
    wide = Console(highlight=False, width=max(console.width, WIDTH))
    wide.print(table if lines else f"no runs of {model} yet")


def _moment(text: str | None) -> str:
    """An ISO 8601 time, to the second."""
    return (text or "")[:19].replace("T", " ")


def _line(reader: RunReader, folder: Folder) -> tuple[str, ...]:
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
    return (started, folder.run, _colored(report["status"]), source, *numbers)


@runs.command()
def show(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Print what came of a run."""
    reader = RunReader(Stage.open(stage, state))
    folder = Folder(model, run) if run else reader.newest(model)
    _print(_reported(reader, folder))


@runs.command()
def watch(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Follow a run until its report, and print what came of it."""
    reader = RunReader(Stage.open(stage, state))
    _finish(_follow(reader, Folder(model, run) if run else reader.newest(model)))


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
    folder = Folder(model, run) if run else reader.newest(model)
    page = reader.store.get(folder.page)
    if page is None:
        raise StageError(f"run {folder.run} has no report yet; `quintet runs watch {model}`")
    target = out or Path(f"{folder.run}.html")
    target.write_bytes(page)
    console.print(str(target))


def _reported(reader: RunReader, folder: Folder) -> dict[str, Any]:
    found = reader.report(folder)
    if found is None:
        known = reader.plan(folder) is not None
        hint = f"`quintet runs watch {folder.model} {folder.run}`" if known else "no such run"
        raise StageError(f"run {folder.run} has no report: {hint}")
    return found


def _follow(reader: RunReader, folder: Folder) -> dict[str, Any]:
    """Show a run's progress until its report, which is returned."""
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
    )
    begun = time.monotonic()
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("waiting for the run", total=None, rate="")
        for polls, seen in enumerate(reader.follow(folder)):
            if seen.report is not None:
                return seen.report
            if isinstance(seen.plan, Plan):
                rate = f"{seen.rows / (time.monotonic() - begun):,.0f} rows/s"
                total = seen.plan.units
                bar.update(task, description="units", total=total, completed=seen.units, rate=rate)
            if polls % PATIENCE == PATIENCE - 1 and (end := reader.ended(folder)):
                raise StageError(f"run {folder.run} ended without a report: {end}")
            time.sleep(POLL_SECONDS)
    raise AssertionError("a run is followed until its report")


def _finish(found: dict[str, Any]) -> None:
    _print(found)
    if found["status"] != "succeeded":
        raise typer.Exit(1)


def _colored(status: str) -> str:
    color = "green" if status == "succeeded" else "red"
    return f"[{color}]{status}[/{color}]"


def _print(found: dict[str, Any]) -> None:
    counts = found["counts"]
    version = f" version {found['version']}" if "version" in found else ""
    took = f" in {found['seconds']:.1f} s" if found.get("seconds") is not None else ""
    console.print(f"{_colored(found['status'])}  {found['model']}{version}{took}")
    if found["cause"]:
        _plain(f"  {found['cause']}")
    if found["status"] != "refused":
        lost = counts["unaccounted"]
        _plain(
            f"  {counts['rows']:,} rows = {counts['scored']:,} scored "
            f"+ {counts['quarantined']:,} quarantined"
            + (f" + {lost:,} without a result" if lost else "")
        )
    for reason in found.get("reasons", [])[:10]:
        text = f"  {reason['rows']:>8,}  {reason['field']}: expected {reason['expected']}"
        example = reason["examples"][0] if reason["examples"] else None
        if example:
            text += f", got {example['got']} (row {example['row']})"
        _plain(text)
    for note in found.get("notes", []):
        _plain(f"  {note}")
    _plain(f"  the page: quintet runs report {found['model']} {found['run']}")


def _plain(text: str) -> None:
    """A line as it is: what files hold is no markup, and is not wrapped."""
    console.print(text, markup=False, soft_wrap=True)
