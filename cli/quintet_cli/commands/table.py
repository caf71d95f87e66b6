"""`quintet table`: the run that a model table's readers see."""

from __future__ import annotations

import typer

from quintet_cli.options import Model, StageName, State
from quintet_cli.results import prints
from quintet_cli.run_reader import RunReader
from quintet_cli.shapes import Pointer
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.views.runs import print_pointers

__all__ = ["register"]

table = typer.Typer(no_args_is_help=True, help="Inspect the table of a model's scores.")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(table, name="table")


@table.command()
@prints(list[Pointer])
def show(model: Model, stage: StageName = "local", state: State = DEFAULT_STATE) -> list[Pointer]:
    """Print the run that readers see, by table and partition."""
    found: list[Pointer] = RunReader(Stage.open(stage, state)).pointers(model)  # type: ignore[assignment]
    print_pointers(found, model)
    return found
