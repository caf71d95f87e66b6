"""`quintet quality`: how right a model's predictions were, by version and day."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from quintet.aws.captures import CaptureBucket
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.labels.targets import Target
from quintet.labels.window import DAY, quality
from quintet_cli.options import Model, StageName, State
from quintet_cli.registry import artifacts_of, live_contract, route_of
from quintet_cli.results import prints
from quintet_cli.shapes import Quality
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.quality import quality_view

__all__ = ["register"]

console = Console(highlight=False)

#: columns of every capture that can divide predictions
COLUMNS = ("path", "route", "caller", "cold", "entity", "run", "rollout")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command("quality")(show)


@prints(Quality)
def show(
    model: Model,
    *,
    days: Annotated[
        int, typer.Option("--days", min=1, max=400, help="How many days, with today.")
    ] = 30,
    by: Annotated[
        str | None,
        typer.Option("--by", help="A feature, or path, route, caller: quality for each value."),
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Quality:
    """Show how right a model's predictions were, by version and day.

    Realised quality is from predictions with labels; estimated quality is from all, by calibrated
    probabilities.
    """
    opened = Stage.open(stage, state)
    column = None if by is None else _column(live_contract(opened, model), by)
    until = (int(time.time()) // DAY + 1) * DAY
    bucket = CaptureBucket(opened.signed("s3"), opened.outputs["CapturesBucketName"])
    found = quality(bucket, model, until - days * DAY, until, _target_of(opened, model), by=column)
    for part in quality_view(found):
        console.print(part, soft_wrap=True)
    told: Quality = found  # type: ignore[assignment]
    return told


def _target_of(stage: Stage, model: str) -> Callable[[int], Target | None]:
    """Return the target of a version by its number; None for one that was deleted."""
    versions = route_of(stage, model).versions
    artifacts = artifacts_of(stage)

    def of(version: int) -> Target | None:
        if version not in versions:
            return None
        return Target(artifacts.contract(model, version, versions[version].seal))

    return of


def _column(contract: Contract, by: str) -> str:
    """Return the column of captures for a name."""
    features = [f.name for f in contract.features if not f.shape and not f.sensitive]
    if by in features:
        return f"feature_{by}"
    if by in COLUMNS:
        return by
    raise BadInput.of("--by", f"one of {', '.join([*features, *COLUMNS])}", repr(by))
