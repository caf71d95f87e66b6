"""`quintet runs stop` and `redrive`: end a run early, and score what a run lacks."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from quintet.batch import executions
from quintet.batch.run_paths import RunPaths
from quintet_cli.commands.batch import Model, Run, runs
from quintet_cli.options import StageName, State
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.views.run import POLL_SECONDS, finish, follow, print_report

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to `quintet runs`."""
    runs.command()(stop)
    runs.command()(redrive)


def stop(
    model: Model, run: Run = None, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Stop a run; what it has scored is counted, and stays for a redrive."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    counting = executions.stop(folder, reader.executions).name
    while reader.ended(folder) is None or reader.running(counting):
        time.sleep(POLL_SECONDS)
    report = reader.report(folder)
    if report is None:
        raise StageError(f"run {folder.run} is stopped, but has no report: see {counting}")
    print_report(report)


def redrive(
    model: Model,
    run: Run = None,
    *,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run until its report.")
    ] = True,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Score what a run lacks that has failed or was stopped; plan anew one that was refused."""
    reader = RunReader(Stage.open(stage, state))
    folder = RunPaths(model, run) if run else reader.newest(model)
    started = executions.redrive(folder, reader.executions)
    console.print(f"run [bold]{folder.run}[/bold], execution {started.name}")
    if wait:
        finish(follow(reader, folder))
