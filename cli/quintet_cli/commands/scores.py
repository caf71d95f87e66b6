"""`quintet scores`: load the scores of a run for look-up."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from quintet.aws.artifacts import Artifacts
from quintet.aws.blobs import S3Store
from quintet.aws.cells import S3Cells
from quintet.aws.latest import LatestTable
from quintet.batch.plans import Plan, plan_from
from quintet.batch.run_paths import RunPaths
from quintet.batch.tables import current_run
from quintet_cli.options import StageName, State
from quintet_cli.score_loader import latest_of
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError

__all__ = ["register"]

DAY = 86_400
#: scores that are put at once
BATCH = 1_000

scores = typer.Typer(no_args_is_help=True, help="Load scores for look-up by entity.")
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(scores, name="scores")


@scores.command()
def load(
    model: Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")],
    run: Annotated[
        str | None,
        typer.Argument(help="A run; by default the one that readers see.", metavar="RUN"),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="How long they are kept.")] = 30,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Load the scores of a run, so that GET /scores/MODEL/ENTITY answers with them.

    A score that was made later stays: by the run's start, and by a stream's record's arrival.
    """
    opened = Stage.open(stage, state)
    store = S3Store(opened.client("s3"), opened.outputs["ScoresBucketName"])
    plan = _plan(opened, store, model, run)
    artifacts = Artifacts(opened.signed("s3"), opened.outputs["RegistryBucketName"])
    contract = artifacts.contract(plan.model, plan.version, plan.seal)
    if contract.entity is None:
        raise StageError(f"model {model} has no entity key to look scores up by")
    started = datetime.fromisoformat(plan.started).timestamp()
    if started + days * DAY <= time.time():
        raise StageError(f"run {plan.run} was started over {days} days ago; keep it --days longer")
    table = LatestTable(
        opened.signed("dynamodb"), opened.outputs["ScoresTableName"], kept_seconds=days * DAY
    )
    keys = store.keys(f"{plan.folder.root}scores/")
    newer = count = 0
    for part in latest_of(plan, contract, (store.get(key) or b"" for key in keys)):
        for start in range(0, len(part), BATCH):
            newer += table.put(part[start : start + BATCH])
        count += len(part)
    console.print(f"{newer:,} of {count:,} entities of run [bold]{plan.run}[/bold] loaded")
    if newer < count:
        console.print("  of the others a later score is there already")


def _plan(opened: Stage, store: S3Store, model: str, run: str | None) -> Plan:
    """The plan of a whole run whose scores are Parquet."""
    if run is None:
        cells = S3Cells(opened.client("s3"), opened.outputs["ScoresBucketName"])
        pointer = current_run(model, None, cells)
        if pointer is None:
            raise StageError(f"no run of {model} has succeeded yet")
        run = str(pointer["run"])
    folder = RunPaths(model, run)
    body = store.get(folder.plan) if store.get(folder.manifest) else None
    plan = plan_from(body) if body else None
    if not isinstance(plan, Plan):
        raise StageError(f"run {run} of {model} has not succeeded")
    if plan.output != "parquet":
        raise StageError(f"the scores of run {run} are {plan.output}; expected parquet")
    return plan
