"""`quintet publish`, `check`, `promote`, `models` and `schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.table import Table

from quintet_cli.options import StageName, State
from quintet_cli.stacks import explained
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console
from quintet_publish.aws_registry import AwsRegistry
from quintet_publish.model_yaml import contract_schema
from quintet_publish.publisher import Publisher
from quintet_publish.release import prepare

__all__ = ["publisher_of", "register"]

Folder = Annotated[Path, typer.Argument(help="The model package's folder.", metavar="DIR")]
Model = Annotated[str, typer.Argument(help="The model's name.", metavar="NAME")]
Version = Annotated[int, typer.Argument(help="The version's number.", metavar="VERSION")]

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    for command in (publish, check, promote, models, schema):
        app.command()(command)


def publish(folder: Folder, stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """Check a model package and publish it as an immutable version."""
    opened = Stage.open(stage, state)
    publisher = publisher_of(opened)
    release = prepare(folder, _tick, _warn)
    with _aws_errors():
        published = publisher.publish(release, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    name, version = release.contract.name, release.contract.version
    if not published.new:
        console.print(f"{name} version {version} is already published with the same content")
    else:
        _tick("published", f"{name} version {version}")
    console.print(f"  digest {release.digest}")
    console.print(f"  stage {opened.name}: {opened.api_url}")
    if published.live == version:
        console.print(f"  live: version {version} answers requests")
    else:
        console.print(
            f"  live is version {published.live}; "
            f"`quintet promote {name} {version}{_at(opened)}` changes that"
        )


def check(folder: Folder) -> None:
    """Run the checks of `publish` on a model package, without a stage."""
    release = prepare(folder, _tick, _warn)
    console.print(f"  digest {release.digest}")


def promote(
    name: Model, version: Version, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Make a published version live, so that it serves requests."""
    publisher = publisher_of(Stage.open(stage, state))
    with _aws_errors():
        before = publisher.promote(name, version)
    console.print(f"{name}: version {version} is live, version {before} was")


def models(stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """List the models, their versions, and which are live."""
    publisher = publisher_of(Stage.open(stage, state))
    with _aws_errors():
        listed = publisher.models()
    table = Table("model", "version", "live", "digest", "bytes", "published")
    for found in listed:
        table.add_row(
            found.model,
            str(found.version),
            "live" if found.live else "",
            found.digest[:12],
            f"{found.size:,}",
            found.created,
        )
    console.print(
        table if listed else "no model is published; publish one with `quintet publish DIR`"
    )


def schema() -> None:
    """Print the JSON Schema of model.yaml."""
    print(json.dumps(contract_schema(), indent=2))


def publisher_of(stage: Stage) -> Publisher:
    registry = AwsRegistry(
        stage.client("s3"),
        stage.client("dynamodb"),
        bucket=stage.outputs["RegistryBucketName"],
        table=stage.outputs["RegistryTableName"],
    )
    return Publisher(registry)


def _at(stage: Stage) -> str:
    return "" if stage.name == "local" else f" --stage {stage.name}"


def _tick(step: str, detail: str) -> None:
    console.print(f"[green]✓[/green] {step:<15} {escape(detail)}")


def _warn(text: str) -> None:
    console.print(f"[yellow]![/yellow] {escape(text)}")


@contextmanager
def _aws_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StageError(explained(error) or f"the stage's registry: {error}") from error
