"""`quintet labels`: what came true of predictions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from quintet.aws.captures import CaptureBucket
from quintet.labels.intake import checked
from quintet.labels.table import put
from quintet.labels.targets import Target
from quintet_cli.label_files import read_labels
from quintet_cli.options import StageName, State
from quintet_cli.registry import live_contract
from quintet_cli.results import Failed, prints
from quintet_cli.shapes import Loading
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.refusals import refused_rows

__all__ = ["register"]

labels = typer.Typer(no_args_is_help=True, help="Load what came true of predictions.")
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(labels, name="labels")


@labels.callback()
def _group() -> None:
    """Load what came true of predictions."""


@labels.command()
@prints(Loading)
def load(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, JSONL or Parquet with id, label and time.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="The model whose predictions these are.")],
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Loading:
    """Load labels of a model's predictions.

    `id` is an event's id (X-Quintet-Event), with a point and the row's number if it has several
    rows, or the row's own id; `label` a class or a number; `time` when it was known. Loading a file
    again changes nothing.
    """
    opened = Stage.open(stage, state)
    target = Target(live_contract(opened, model))
    found, refusals = checked(target, *read_labels(file), time.time())
    bucket = CaptureBucket(opened.signed("s3"), opened.outputs["CapturesBucketName"])
    put(bucket, model, found)
    refused = len({refusal.row for refusal in refusals})
    console.print(f"{len(found.ids):,} labels of {model} loaded, {refused:,} rows refused")
    told: Loading = {
        "rows": len(found.ids),
        "refused": refused,
        "changed": None,
        "reasons": [str(refusal) for refusal in refusals],
    }
    if refusals:
        console.print(refused_rows(refusals))
        raise Failed(told, command="quintet labels load --help")
    return told
