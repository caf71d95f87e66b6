"""`quintet table` and `quintet runs promote`: which run a model's readers see."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quintet.aws.artifacts import Artifacts
from quintet.aws.blobs import S3Store
from quintet.aws.cells import S3Cells
from quintet.aws.glue import GlueDatabase
from quintet.batch.athena import follow_pointer
from quintet.batch.run_paths import RunPaths
from quintet.batch.tables import show_run
from quintet_cli.commands.batch import Model, runs
from quintet_cli.options import StageName, State
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import DEFAULT_STATE, Stage

__all__ = ["register"]

WIDTH = 160

console = Console(highlight=False)
table = typer.Typer(no_args_is_help=True, help="See the table of a model's scores.")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(table, name="table")
    runs.command("promote")(promote)


def promote(
    model: Model,
    run: Annotated[str, typer.Argument(help="A run that has succeeded.", metavar="RUN")],
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Show a run to the readers of its table: the way back to an older one."""
    opened = Stage.open(stage, state)
    s3, bucket = opened.client("s3"), opened.outputs["ScoresBucketName"]
    store, cells = S3Store(s3, bucket), S3Cells(s3, bucket)
    pointer = show_run(
        RunPaths(model, run),
        store=store,
        cells=cells,
        clock=lambda: datetime.now(UTC),
        by=getpass.getuser(),
    )
    artifacts = Artifacts(opened.signed("s3"), opened.outputs["RegistryBucketName"])
    follow_pointer(
        pointer,
        bucket=bucket,
        store=store,
        cells=cells,
        tables=GlueDatabase(opened.client("glue"), opened.outputs["ScoresDatabaseName"]),
        contract=lambda plan: artifacts.contract(plan.model, plan.version, plan.seal),
    )
    before = pointer["before"]
    console.print(f"{_named(pointer)} is run [bold]{pointer['run']}[/bold]")
    console.print(f"  the way back: quintet runs promote {model} {before}" if before else "")


@table.command()
def show(model: Model, stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """Print which run the readers of a model's table see, and of each partition's."""
    lines = Table(box=None, header_style="dim")
    for name in ("table", "run", "version", "rows scored", "started", "moved", "by"):
        lines.add_column(name, no_wrap=True, justify="right" if name == "rows scored" else "left")
    found = RunReader(Stage.open(stage, state)).pointers(model)
    for pointer in found:
        times = (pointer[name][:19].replace("T", " ") for name in ("started", "moved"))
        version, rows = str(pointer["version"]), f"{pointer['scored']:,}"
        lines.add_row(_named(pointer), pointer["run"], version, rows, *times, pointer["by"])
    # a run's name must come out whole, to be copied: the table may be wider than the terminal
    wide = Console(highlight=False, width=max(console.width, WIDTH))
    wide.print(lines if found else f"no run of {model} has succeeded yet")


def _named(pointer: dict[str, Any]) -> str:
    """The table's name: the model's, and the partition's where it is one's."""
    return "/".join(filter(None, (pointer["model"], pointer["partition"])))
