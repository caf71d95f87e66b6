"""`quintet versions`, `withdraw` and `delete`: the versions of a model, and their end."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from quintet_cli.commands.publish import aws_errors, moment, publisher_of
from quintet_cli.options import Model, StageName, State
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console
from quintet_publish.registry import Listed

__all__ = ["register"]

Version = Annotated[int, typer.Argument(help="The version's number.", metavar="VERSION")]

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    for command in (versions, withdraw, delete):
        app.command()(command)


def versions(model: Model, stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """List the versions of a model, withdrawn and deleted ones too."""
    publisher = publisher_of(Stage.open(stage, state))
    with aws_errors():
        listed = publisher.versions(model)
    table = Table("version", "state", "digest", "bytes", "published", "withdrawn", "deleted")
    for found in listed:
        table.add_row(
            str(found.version),
            _state(found),
            found.digest[:12],
            f"{found.size:,}",
            found.created,
            found.withdrawn,
            found.deleted,
        )
    console.print(table)


def withdraw(
    model: Model, version: Version, stage: StageName = "local", state: State = DEFAULT_STATE
) -> None:
    """Stop a version from answering, for good; its files and its digest are kept."""
    publisher = publisher_of(Stage.open(stage, state))
    with aws_errors():
        found = publisher.withdraw(model, version, moment())
    if found.withdrawn:
        console.print(f"{model} version {version} was withdrawn at {found.withdrawn}")
    else:
        console.print(
            f"{model}: version {version} is withdrawn; within five seconds it answers no request, "
            "no job and no new run. Runs under way end with it: `quintet runs stop` stops one"
        )


def delete(
    model: Model,
    version: Version,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Delete the files of a withdrawn version; its number stays taken and its digest known."""
    opened = Stage.open(stage, state)
    publisher = publisher_of(opened)
    with aws_errors():
        publisher.check_deletable(model, version)
        if using := RunReader(opened).using(model, version):
            raise StageError(
                f"{model} version {version} is in use by the run {using[0]}; wait for its end, or "
                f"`quintet runs stop {model} {using[0]}`"
            )
        name = f"{model} {version}"
        if not yes and typer.prompt(f"Type {name} to delete its files permanently") != name:
            raise StageError("nothing was deleted")
        removed = publisher.delete(model, version, moment())
    console.print(f"{model}: version {version} is deleted, {removed} objects")


def _state(found: Listed) -> str:
    if found.deleted:
        return "deleted"
    if found.withdrawn:
        return "withdrawn"
    return "live" if found.live else "published"
