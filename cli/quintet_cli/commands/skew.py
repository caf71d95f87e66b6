"""`quintet skew`: stored features as they were served, against what they should have been."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from quintet.aws.captures import CaptureBucket
from quintet.captures.stored import stored_features
from quintet.errors import NotFound
from quintet.monitoring.samples import Reference
from quintet_cli.options import Model, ModelVersion, StageName, State
from quintet_cli.registry import artifacts_of, route_of
from quintet_cli.results import prints
from quintet_cli.shapes import Skew
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.skew import skew_view

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command()(skew)


@prints(Skew)
def skew(
    model: Model,
    *,
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="A day (UTC); by default today."),
    ] = None,
    version: ModelVersion = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Skew:
    """Compare the stored features of a day's captures with the files that were loaded.

    Shows how old each feature was when it was served, which values differ from those that the
    files of `quintet features load` had at that time, and which features have another distribution
    than in the training data.
    """
    opened = Stage.open(stage, state)
    begin = (day or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = begin.replace(tzinfo=UTC)
    end = begin + timedelta(days=1)
    bucket = CaptureBucket(opened.signed("s3"), opened.outputs["CapturesBucketName"])
    reference = _reference(opened, model, version)
    found = stored_features(bucket, reference, begin.timestamp(), end.timestamp())
    found["day"] = f"{begin:%Y-%m-%d}"
    for part in skew_view(found):
        console.print(part, soft_wrap=True)
    told: Skew = found  # type: ignore[assignment]
    return told


def _reference(stage: Stage, model: str, version: int | None) -> Reference:
    """Return the contract and the baseline of a version, by default the live one."""
    route = route_of(stage, model)
    number = route.live if version is None else version
    if number not in route.versions:
        raise NotFound.of("version", f"one of {', '.join(map(str, route.versions))}", str(number))
    seal, artifacts = route.versions[number].seal, artifacts_of(stage)
    return Reference(
        artifacts.contract(model, number, seal), artifacts.baseline(model, number, seal)
    )
