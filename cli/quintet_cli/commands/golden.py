"""`quintet golden`: the expected outputs of golden rows, computed anew from model.onnx."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict
from rich.markup import escape
from rich.table import Table

from quintet_cli.results import prints
from quintet_cli.stacks import AGAIN, StageError
from quintet_cli.terminal import Console
from quintet_publish.golden_changes import Anew, OutputChange

__all__ = ["GoldenView", "register"]

console = Console(highlight=False, soft_wrap=True)
asked = Console(stderr=True, highlight=False, soft_wrap=True)


class GoldenView(BaseModel):
    """Golden rows of a package, how their expected outputs change, and if they were written."""

    model_config = ConfigDict(extra="forbid")

    file: str
    rows: int
    written: bool
    changes: list[OutputChange]


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(golden)


@prints(GoldenView)
def golden(
    folder: Annotated[Path, typer.Argument(help="The model package's folder.", metavar="DIR")],
    yes: Annotated[bool, typer.Option("--yes", help="Write without a question.")] = False,
) -> GoldenView:
    """Compute the expected outputs of a package's golden rows anew, from its model.onnx.

    After a changed graph: shows what changes by how much, asks, then replaces the file. The rows
    stay as they are.
    """
    # with onnx and onnxruntime, which no help needs
    from quintet_publish.golden_anew import golden_anew, write_golden_file

    found = golden_anew(folder)
    if found.content is None:
        console.print(f"{found.file}: the {found.rows} rows agree with model.onnx; nothing to do")
        return _view(found, written=False)
    shown = console if yes else asked
    if found.unread:
        shown.print(f"no earlier outputs to compare with: {found.unread}", markup=False)
    shown.print(_table(found))
    if found.warning:
        shown.print(f"[yellow]![/yellow] {escape(f'{found.file}: {found.warning}')}")
    if not yes and not typer.confirm(f"Write these outputs into {found.file}?", err=True):
        raise StageError("nothing was written", command=AGAIN)
    write_golden_file(folder, found)
    console.print(f"{found.file} has the outputs of model.onnx for its {found.rows} rows. Next:")
    console.print(f"  quintet publish {shlex.quote(str(folder))}", markup=False)
    return _view(found, written=True)


def _view(found: Anew, *, written: bool) -> GoldenView:
    return GoldenView(
        file=found.file, rows=found.rows, written=written, changes=list(found.changes)
    )


def _table(found: Anew) -> Table:
    """A row for each output that changes, with the golden row that changes most."""
    table = Table("output", "rows changed", "most in row", "before", "now", "difference")
    for change in found.changes:
        before = "none" if change.before is None else change.before
        apart = "" if change.apart is None else f"{change.apart:.2g}"
        table.add_row(
            escape(change.output),
            f"{change.rows} of {found.rows}",
            str(change.row),
            escape(before),
            escape(change.now),
            apart,
        )
    return table
