"""`quintet rollout rehearse`: a version on what the live one has answered."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from quintet.aws.captures import CaptureBucket
from quintet.errors import BadInput, Conflict, shown
from quintet.rollouts.compatible import check_compatible, unpaired
from quintet.rollouts.rehearsal import rehearse as rehearse_on
from quintet.serving.routes import Route
from quintet_cli.options import Model, StageName, State
from quintet_cli.registry import artifacts_of, route_of
from quintet_cli.results import prints
from quintet_cli.rollout_start import check_version
from quintet_cli.shapes import Rehearsal
from quintet_cli.since import moment
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.rehearsal import rehearsal_view
from quintet_cli.views.rehearsal_page import rehearsal_page

__all__ = ["rehearse"]

#: why a rehearsal opens no encrypted features
SEALED = "a rehearsal opens none; a rollout in shadow compares them"

console = Console(highlight=False)

Version = Annotated[int, typer.Argument(help="The version to rehearse.", metavar="VERSION")]


@prints(Rehearsal)
def rehearse(
    model: Model,
    version: Version,
    *,
    since: Annotated[
        str, typer.Option("--since", help="From when on: 12h, 7d, or a time (ISO 8601).")
    ] = "7d",
    until: Annotated[str | None, typer.Option("--until", help="Until when: as --since.")] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page (HTML) of it, too.", metavar="FILE")
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Rehearsal:
    """Score what the live version has answered with another version, on this machine.

    Both versions are loaded here; nothing of the stage changes, and no caller notices.
    """
    opened = Stage.open(stage, state)
    begin = moment(since, "--since")
    end = min(moment(until, "--until"), time.time())
    if page is not None and not page.absolute().parent.is_dir():
        raise BadInput.of("--page", "a file in a folder that exists", shown(str(page)))
    found = _rehearsed(opened, route_of(opened, model), version, begin, end)
    if page is not None:
        page.write_bytes(rehearsal_page(found))
    for part in rehearsal_view(found):
        console.print(part, soft_wrap=True)
    if page is not None:
        console.print(f"the page: {page}", markup=False, soft_wrap=True)
    told: Rehearsal = found  # type: ignore[assignment]
    return told


def _rehearsed(
    stage: Stage, route: Route, version: int, since: float, until: float
) -> dict[str, Any]:
    """Return the figures of a rehearsal, from `since` to before `until` (epoch seconds).

    Raises:
        NotFound: the version is not published, or was withdrawn.
        Conflict: it is the live one, cannot take over from it, or its captures cannot be scored.
        BadInput: there are no captures that both versions can score.
    """
    check_version(route, version)
    if version == route.live:
        raise Conflict.of("version", "one that is not live", f"{version}, which answers already")
    artifacts = artifacts_of(stage)
    live, candidate = (
        artifacts.load(route.model, number, route.versions[number].seal)
        for number in (route.live, version)
    )
    check_compatible(live.contract, candidate.contract)
    if live.contract.capture is None:
        raise Conflict.of(
            "capture",
            "captures of the live version, which a rehearsal reads",
            f"none of version {route.live}; publish one with `capture: {{}}` in model.yaml",
        )
    if why := unpaired(live.contract, candidate.contract, SEALED).shadow:
        raise Conflict.of("features", "captures that the version can score", why)
    bucket = CaptureBucket(stage.signed("s3"), stage.outputs["CapturesBucketName"])
    found = rehearse_on(bucket, live, candidate, since, until).document()
    times = (datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes") for at in (since, until))
    return {**found, **dict(zip(("since", "until"), (t[:16] for t in times), strict=True))}
