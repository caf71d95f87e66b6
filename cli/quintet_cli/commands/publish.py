"""`quintet publish`, `check`, `promote`, `models` and `schema`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.table import Table

from quintet.errors import BadInput
from quintet_cli.options import Reason, StageName, State
from quintet_cli.registry import named_near, rollouts_of
from quintet_cli.results import prints
from quintet_cli.shapes import Live, PackageView
from quintet_cli.stacks import explained
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console
from quintet_cli.views.times import shown_time
from quintet_publish.aws_registry import AwsRegistry
from quintet_publish.model_yaml import CONTRACT, contract_schema
from quintet_publish.registry import Listed

if TYPE_CHECKING:  # with onnx and onnxruntime, which no help needs
    from quintet_publish.publisher import Publisher
    from quintet_publish.release import Release

__all__ = ["aws_errors", "moment", "publisher_of", "register"]

Folder = Annotated[Path, typer.Argument(help="The model package's folder.", metavar="DIR")]
Model = Annotated[str, typer.Argument(help="The model's name.", metavar="NAME")]
Version = Annotated[int, typer.Argument(help="The version's number.", metavar="VERSION")]

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    for command in (publish, check, promote, models, schema):
        app.command()(command)


@prints(PackageView)
def publish(
    folder: Folder,
    bump: Annotated[
        bool,
        typer.Option(
            "--bump",
            help="On the local stage: if the version is taken by other content, write the next "
            "free number into model.yaml.",
        ),
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> PackageView:
    """Check a model package and publish it as an immutable version."""
    if bump and stage != "local":
        raise BadInput.of("--bump", "the local stage; set `version` in model.yaml yourself", stage)
    opened = Stage.open(stage, state)
    publisher = publisher_of(opened)
    release = _prepared(folder)
    with aws_errors():
        if bump:
            release = _bumped(folder, release, publisher)
        published = publisher.publish(release, moment())
    name, version = release.contract.name, release.contract.version
    if not published.new:
        console.print(f"{name} version {version} is already published with the same content")
    else:
        _tick("published", f"{name} version {version}")
    console.print(f"  digest {release.digest}")
    console.print(f"  stage {opened.name}: {opened.api_url}")
    capture = release.contract.capture
    if capture is not None and capture.sensitive == "encrypted" and not opened.seals_captures:
        _warn(
            "the stage encrypts no captures, so sensitive features are left out of them: deploy it "
            "with SealedCaptures=on"
        )
    if published.live == version:
        console.print(f"  live: version {version} answers requests")
    else:
        console.print(
            f"  live is version {published.live}; "
            f"`quintet rollout start {name} {version}{_at(opened)}` changes that step by step, "
            f"`quintet promote {name} {version}{_at(opened)}` at once"
        )
    return {
        "name": name,
        "version": version,
        "digest": release.digest,
        "new": published.new,
        "live": published.live,
        "stage": opened.name,
    }


def _prepared(folder: Path) -> Release:
    """Check a package, and print what was checked."""
    from quintet_publish.release import prepare

    return prepare(folder, _tick, _warn)


def _bumped(folder: Path, release: Release, publisher: Publisher) -> Release:
    """Return the release under a free number, which model.yaml then holds too."""
    numbered = publisher.numbered(release)
    before, after = release.contract.version, numbered.contract.version
    if after != before:
        (folder / CONTRACT).write_bytes(numbered.files[CONTRACT])
        _tick("version", f"{before} is taken; model.yaml now says {after}")
    return numbered


@prints(PackageView)
def check(folder: Folder) -> PackageView:
    """Run the checks of `publish` on a model package, without a stage."""
    release = _prepared(folder)
    console.print(f"  digest {release.digest}")
    return {
        "name": release.contract.name,
        "version": release.contract.version,
        "digest": release.digest,
        "new": True,
        "live": None,
        "stage": None,
    }


@prints(Live)
def promote(
    name: Model,
    version: Version,
    reason: Reason = "",
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Live:
    """Make a published version live at once, for all requests (step by step: `rollout`)."""
    opened = Stage.open(stage, state)
    publisher = publisher_of(opened)
    with aws_errors(), named_near(opened, name):
        before = publisher.promote(name, version, reason)
    console.print(f"{name}: version {version} is live, version {before} was")
    return {"model": name, "live": version, "before": before}


@prints(list[Listed])
def models(stage: StageName = "local", state: State = DEFAULT_STATE) -> list[Listed]:
    """List the models, their versions, and which are live."""
    publisher = publisher_of(Stage.open(stage, state))
    with aws_errors():
        listed = publisher.models()
    table = Table("model", "version", "live", "digest", "bytes", "published")
    for found in listed:
        table.add_row(
            found.model,
            str(found.version),
            "live" if found.live else "",
            found.digest[:12],
            f"{found.size:,}",
            shown_time(found.created),
        )
    console.print(
        table if listed else "no model is published; publish one with `quintet publish DIR`"
    )
    return listed


@prints(dict[str, Any])
def schema() -> dict[str, Any]:
    """Print the JSON Schema of model.yaml."""
    found: dict[str, Any] = contract_schema()
    print(json.dumps(found, indent=2))
    return found


def publisher_of(stage: Stage) -> Publisher:
    """Return the writer of a stage's registry."""
    from quintet_publish.publisher import Publisher

    registry = AwsRegistry(
        stage.client("s3"),
        stage.client("dynamodb"),
        bucket=stage.outputs["RegistryBucketName"],
        table=stage.outputs["RegistryTableName"],
        routes=rollouts_of(stage),
    )
    return Publisher(registry, author=stage.caller, clock=time.time)


def moment() -> str:
    """Return the current time as the registry stores it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _at(stage: Stage) -> str:
    return "" if stage.name == "local" else f" --stage {stage.name}"


def _tick(step: str, detail: str) -> None:
    console.print(f"[green]✓[/green] {step:<15} {escape(detail)}")


def _warn(text: str) -> None:
    console.print(f"[yellow]![/yellow] {escape(text)}")


@contextmanager
def aws_errors() -> Iterator[None]:
    """Turn an error of AWS into one that says what to do."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explained(error) or StageError(
            f"the stage's registry: {error}", command="quintet doctor"
        ) from error
