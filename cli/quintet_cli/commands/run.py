"""`quintet run`: score files that are already in a bucket."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet.batch.requests import passthrough_of
from quintet_cli.options import (
    Features,
    Header,
    InputBucketName,
    Keep,
    Model,
    ModelVersion,
    Output,
    StageName,
    State,
    Wait,
)
from quintet_cli.results import prints
from quintet_cli.run_reader import RunReader
from quintet_cli.run_starter import start_on
from quintet_cli.shapes import Started
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.runs import finish, follow

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command()(run)


@prints(Started)
def run(
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
    }
    folder, new = start_on(opened, asked)
    console.print(f"run [bold]{folder.run}[/bold]" + ("" if new else ", which has ended before"))
    started: Started = {"model": model, "run": folder.run, "new": new, "report": None}
    if wait:
        finish(follow(RunReader(opened), folder), started)
    return started
