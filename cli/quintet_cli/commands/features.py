"""`quintet features load`: fill the feature store from a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from quintet.aws.captures import CaptureBucket
from quintet.captures.history import add_history
from quintet_cli.feature_files import history_of, read
from quintet_cli.feature_loader import FeatureLoader
from quintet_cli.options import StageName, State
from quintet_cli.registry import live_contract
from quintet_cli.results import Failed, prints
from quintet_cli.shapes import Loading
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.refusals import refused_rows

__all__ = ["register"]

features = typer.Typer(no_args_is_help=True, help="Fill the feature store.")
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(features, name="features")


@features.callback()
def _group() -> None:
    """Fill the feature store."""


@features.command()
@prints(Loading)
def load(
    file: Annotated[
        Path, typer.Argument(help="CSV or Parquet.", metavar="FILE", exists=True, dir_okay=False)
    ],
    model: Annotated[str, typer.Option("--model", help="The model whose features these are.")],
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Loading:
    """Load a model's stored features from a file.

    Columns: the entity key, any of the model's stored features, and optionally `at`, the time
    that a row describes (seconds since 1970, or ISO 8601; UTC if it has no time zone).
    Without `at`, rows describe the present. Newer values in the store are kept. `known_at`, if the
    file has it, is since when a row was known. All valid rows are kept beside the captures: they
    are what `quintet skew` compares served values with.
    """
    opened = Stage.open(stage, state)
    contract = live_contract(opened, model)
    now = time.time()
    found = read(contract, file, now)
    assert contract.entity is not None
    loader = FeatureLoader(
        opened.client("dynamodb"), opened.outputs["FeaturesTableName"], contract.entity, now
    )
    entities = len({row.entity for row in found.rows})
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"loading {file.name}", total=entities)
        changed = loader.load(found.rows, lambda count: progress.advance(task, count))
    if found.rows:
        bucket = CaptureBucket(opened.signed("s3"), opened.outputs["CapturesBucketName"])
        add_history(bucket, contract.entity, now, history_of(contract, found))
    console.print(
        f"{len(found.rows):,} rows loaded into {', '.join(found.features)}: "
        f"{changed:,} of {entities:,} entities changed, {found.refused:,} rows refused",
        soft_wrap=True,
    )
    if found.left_out:
        console.print(
            f"columns that are not of {model}, left out: {', '.join(found.left_out)}",
            markup=False,
            soft_wrap=True,
        )
    told: Loading = {
        "rows": len(found.rows),
        "refused": found.refused,
        "changed": changed,
        "reasons": [str(refusal) for refusal in found.refusals],
    }
    if found.refusals:
        console.print(refused_rows(found.refusals))
        raise Failed(told, command="quintet features load --help")
    return told
