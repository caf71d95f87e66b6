"""`quintet runs`: the runs that score files, from their start to the run that readers see."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from quintet.batch import executions
from quintet.batch.plans import RunPaths
from quintet.batch.requests import passthrough_of
from quintet_cli.options import (
    Features,
    Header,
    InputBucketName,
    Keep,
    Model,
    ModelVersion,
    Output,
    Run,
    StageName,
    State,
    Wait,
    report_file,
)
from quintet_cli.registry import artifacts_of, named_near, route_of
from quintet_cli.results import prints
from quintet_cli.run_comparison import comparable_plans, compare_runs
from quintet_cli.run_reader import RunReader
from quintet_cli.run_starter import start_on
from quintet_cli.shapes import Comparison, Pointer, Report, RunLine, Started, Written
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.tables import show_to_readers
from quintet_cli.terminal import Console
from quintet_cli.views.runs import (
    POLL_SECONDS,
    finish,
    follow,
    print_comparison,
    print_report,
    print_runs,
    run_lines,
    table_name,
)

__all__ = ["register"]

runs = typer.Typer(
    no_args_is_help=True, help="Start, list, follow, stop and redrive the runs that score files."
)
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(runs, name="runs")


@runs.command()
@prints(Started)
def start(
    model: Model,
    *,
    key: Annotated[str | None, typer.Option("--key", help="One object.")] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="All objects whose keys start with it.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Option("--manifest", help="The key of a manifest that lists objects.")
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option("--partition", help="Only files in folders of this name: month=2026-01."),
    ] = None,
    version: ModelVersion = None,
    bucket: InputBucketName = None,
    output: Output = None,
    keep: Keep = None,
    header: Header = None,
    features: Features = None,
    callback: Annotated[
        str | None,
        typer.Option("--callback", help="A registered endpoint to notify when the run ends."),
    ] = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="Readers keep the run that they see.")
    ] = False,
    wait: Wait = True,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Started:
    """Score files in a bucket; the same request again returns the same run."""
    opened = Stage.open(stage, state)
    asked = {
        "model": model,
        "key": key,
        "prefix": prefix,
        "manifest": manifest,
        "partition": partition,
        "version": version,
        "bucket": bucket,
        "output": output.value if output else None,
        "keep": passthrough_of(keep or ""),
        "header": header.value if header else None,
        "callback": callback,
        "features": features,
        "trial": trial or None,
    }
    folder, new = start_on(opened, asked)
    console.print(f"run [bold]{folder.run}[/bold]" + ("" if new else ", which has ended before"))
    started: Started = {"model": model, "run": folder.run, "new": new, "report": None}
    if wait:
        finish(follow(RunReader(opened), folder), started)
    return started


@runs.command("ls")
@prints(list[RunLine])
def list_runs(
    model: Model, stage: StageName = "local", state: State = DEFAULT_STATE
) -> list[RunLine]:
    """List a model's runs, the newest first."""
    found = run_lines(RunReader(Stage.open(stage, state)), model)
    print_runs(found, model)
    return found


@runs.command()
@prints(Report)
def show(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> Report:
    """Print the report of a run."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    found: Report = reader.reported(folder)  # type: ignore[assignment]
    print_report(found)
    return found


@runs.command()
@prints(Started)
def watch(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> Started:
    """Follow a run until it ends, and print its report."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    watched: Started = {"model": model, "run": folder.run, "new": False, "report": None}
    return finish(follow(reader, folder), watched)


@runs.command()
@prints(Written)
def report(
    model: Model,
    run: Run = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page; by default in STATE/reports.", dir_okay=False),
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Written:
    """Download a run's report as an HTML page."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    page = reader.store.get(folder.page)
    if page is None:
        raise StageError(
            f"run {folder.run} has no report yet",
            command=f"quintet runs watch {model} {folder.run}",
        )
    target = report_file(state, out, f"{folder.run}.html")
    target.write_bytes(page)
    console.print(str(target), markup=False, soft_wrap=True)
    return {"file": str(target), "rows": None}


@runs.command()
@prints(Report)
def stop(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> Report:
    """Stop a run; scored rows are kept for a redrive."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    counting = executions.stop(folder, reader.executions).name
    while reader.ended(folder) is None or reader.running(counting):
        time.sleep(POLL_SECONDS)
    found = reader.report(folder)
    if found is None:
        raise StageError(
            f"run {folder.run} is stopped, but has no report: see {counting}",
            command="quintet logs ReportRun",
        )
    print_report(found)
    stopped: Report = found  # type: ignore[assignment]
    return stopped


@runs.command()
@prints(Started)
def redrive(
    model: Model,
    run: Run = None,
    *,
    wait: Wait = True,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Started:
    """Score the missing rows of a failed or stopped run; plan a refused run again."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    execution = executions.redrive(folder, reader.executions)
    console.print(f"run [bold]{folder.run}[/bold], execution {execution.name}")
    started: Started = {"model": model, "run": folder.run, "new": False, "report": None}
    if wait:
        finish(follow(reader, folder), started)
    return started


@runs.command()
@prints(Comparison)
def compare(
    model: Model,
    first: Annotated[str, typer.Argument(help="A run that has succeeded.", metavar="RUN_A")],
    second: Annotated[str, typer.Argument(help="Another over the same input.", metavar="RUN_B")],
    *,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Comparison:
    """Compare the scores of two runs over one input, such as of two versions."""
    opened = Stage.open(stage, state)
    route_of(opened, model)
    store = RunReader(opened).store
    plans = comparable_plans(store, model, first, second)
    contract = artifacts_of(opened).contract(model, plans[0].version, plans[0].seal)
    found = compare_runs(store, *plans, contract)
    print_comparison(found)
    compared: Comparison = found  # type: ignore[assignment]
    return compared


@runs.command()
@prints(Pointer)
def promote(
    model: Model,
    run: Annotated[str, typer.Argument(help="A run that has succeeded.", metavar="RUN")],
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Pointer:
    """Point the table's readers to a run, for example an older one."""
    opened = Stage.open(stage, state)
    with named_near(opened, model):
        pointer = show_to_readers(opened, RunPaths(model, run))
    before = pointer["before"]
    console.print(f"{table_name(pointer)} is run [bold]{pointer['run']}[/bold]")
    console.print(f"  to undo: quintet runs promote {model} {before}" if before else "")
    shown: Pointer = pointer  # type: ignore[assignment]
    return shown
