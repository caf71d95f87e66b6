"""`quintet backfill`: score a period of time, partition by partition."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from quintet.batch.requests import passthrough_of
from quintet.errors import BadInput
from quintet_cli.backfill import backfill, partitions
from quintet_cli.options import (
    Features,
    Header,
    InputBucketName,
    Keep,
    ModelVersion,
    Output,
    StageName,
    State,
)
from quintet_cli.registry import route_of
from quintet_cli.results import Failed, prints
from quintet_cli.run_reader import RunReader
from quintet_cli.run_starter import StageRuns
from quintet_cli.shapes import Backfilled
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.runs import POLL_SECONDS, colored

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command("backfill")(backfill_command)


@prints(Backfilled)
def backfill_command(
    model: Annotated[str | None, typer.Argument(help="The model's name.", metavar="MODEL")] = None,
    *,
    named: Annotated[
        str | None,
        typer.Option("--model", help="The model's name, instead of MODEL.", metavar="MODEL"),
    ] = None,
    first: Annotated[
        str, typer.Option("--from", help="The first partition: 2026, 2026-01 or 2026-01-31.")
    ],
    last: Annotated[str, typer.Option("--to", help="The last partition, in the same form.")],
    prefix: Annotated[
        str | None,
        typer.Option("--prefix", help="The prefix of the partitions; by default _data/MODEL/."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="The name in the folders; by default year, month or date."),
    ] = None,
    version: ModelVersion = None,
    bucket: InputBucketName = None,
    output: Output = None,
    keep: Keep = None,
    header: Header = None,
    features: Features = None,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=100, help="The number of runs at once.")
    ] = 2,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Backfilled:
    """Score a range of partitions, one run each; repeat it to score what is missing."""
    if (model is None) == (named is None):
        raise BadInput.of("MODEL", "one model", "none" if model is None else "two")
    model = model or named or ""
    wanted = partitions(first, last, name)
    opened = Stage.open(stage, state)
    # one version for all partitions, even if another is promoted meanwhile
    number = version or route_of(opened, model).live
    asked = {
        "model": model,
        "prefix": prefix or f"_data/{model}/",
        "version": number,
        "bucket": bucket,
        "output": output.value if output else None,
        "keep": passthrough_of(keep or ""),
        "header": header.value if header else None,
        "features": features,
    }
    runs = StageRuns(opened, RunReader(opened), asked)
    console.print(f"{model} version {number}, {wanted[0]} to {wanted[-1]}")
    results = []
    for result in backfill(wanted, runs, at_once, lambda: time.sleep(POLL_SECONDS)):
        results.append(result)
        console.print(f"  {result.partition}  {colored(result.status)}  ", end="")
        console.print(f"{result.detail}  {result.run}", markup=False, soft_wrap=True)
    good = sum(result.succeeded for result in results)
    told: Backfilled = {"scored": good, "partitions": [result._asdict() for result in results]}
    console.print(f"{good} of {len(wanted)} partitions are scored")
    if good < len(wanted):
        raise Failed(told, command=f"quintet runs ls {model}")
    return told
