"""`quintet drop`: score a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from quintet.batch.input_inspection import HEADER
from quintet.batch.passthrough import check_names
from quintet.batch.planning import KEEP, OUTPUT
from quintet.batch.requests import passthrough_of
from quintet_cli.options import Form, Header, Keep, Model, StageName, State, Wait
from quintet_cli.registry import live_contract
from quintet_cli.results import prints
from quintet_cli.run_reader import RunReader
from quintet_cli.run_starter import check_text, drop_file
from quintet_cli.shapes import Started
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.runs import finish, follow

__all__ = ["register"]

console = Console(highlight=False)
told = Console(stderr=True, highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(drop)


@prints(Started)
def drop(
    file: Annotated[
        Path,
        typer.Argument(help="CSV, JSONL or Parquet.", metavar="FILE", exists=True, dir_okay=False),
    ],
    model: Model,
    *,
    output: Annotated[
        Form, typer.Option("--output", help="The format of the scores; `input` is the file's own.")
    ] = Form.parquet,
    keep: Keep = None,
    header: Header = None,
    wait: Wait = True,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Started:
    """Score a file: upload it to the inbox, follow its run, print the report."""
    opened = Stage.open(stage, state)
    contract, columns = live_contract(opened, model), passthrough_of(keep or "")
    if isinstance(columns, dict):
        check_names([*columns.items()], contract, many=False)
    named = (header or contract.header) != "none"
    if note := check_text(file, named=named):
        told.print(f"[yellow]![/yellow] {escape(f'{file}: {note}')}")
    asked = {OUTPUT: output.value, KEEP: keep, HEADER: header.value if header else None}
    folder = drop_file(opened, file, model, {k: v for k, v in asked.items() if v})
    console.print(f"run [bold]{folder.run}[/bold]")
    started: Started = {"model": model, "run": folder.run, "new": True, "report": None}
    if wait:
        finish(follow(RunReader(opened), folder), started)
    return started
