"""`quintet new`: the project as a folder of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet_cli.project import write_project
from quintet_cli.results import prints
from quintet_cli.shapes import Written
from quintet_cli.terminal import Console

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(new)


@prints(Written)
def new(
    folder: Annotated[
        Path, typer.Argument(help="A folder that is empty or does not exist.", metavar="DIR")
    ],
) -> Written:
    """Write the project into a folder to change: template, functions, layers, example models."""
    write_project(folder)
    Console(highlight=False, soft_wrap=True).print(
        f"{folder} has the project. Next:\n"
        f"  cd {folder} && quintet up        serve it on this machine\n"
        "  sam build && sam deploy --config-env dev     deploy it to AWS"
    )
    return {"file": str(folder), "rows": None}
