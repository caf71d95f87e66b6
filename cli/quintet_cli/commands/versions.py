"""`quintet versions`, `withdraw` and `delete`: the versions of a model, and their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.table import Table

from quintet.errors import NotFound
from quintet.rollouts.transitions import place_of
from quintet_cli.commands.publish import aws_errors, moment, publisher_of
from quintet_cli.options import Model, StageName, State
from quintet_cli.registry import named_near, rollouts_of
from quintet_cli.results import prints
from quintet_cli.run_reader import RunReader
from quintet_cli.shapes import Gone
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console
from quintet_cli.views.times import shown_time
from quintet_publish.registry import Listed

__all__ = ["register"]

Version = Annotated[int, typer.Argument(help="The version's number.", metavar="VERSION")]

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    for command in (versions, withdraw, delete):
        app.command()(command)


@prints(list[Listed])
def versions(
    model: Model, stage: StageName = "local", state: State = DEFAULT_STATE
) -> list[Listed]:
    """List the versions of a model, withdrawn and deleted ones too."""
    opened = Stage.open(stage, state)
    with aws_errors(), named_near(opened, model):
        listed = publisher_of(opened).versions(model)
    roles = _roles(opened, model)
    table = Table("version", "state", "digest", "bytes", "published", "withdrawn", "deleted")
    for found in listed:
        table.add_row(
            str(found.version),
            _state(found, roles),
            found.digest[:12],
            f"{found.size:,}",
            *map(shown_time, (found.created, found.withdrawn, found.deleted)),
        )
    console.print(table)
    return listed


@prints(Gone)
def withdraw(
    model: Model, version: Version, stage: StageName = "local", state: State = DEFAULT_STATE
) -> Gone:
    """Stop a version from answering, for good; its files and its digest are kept."""
    opened = Stage.open(stage, state)
    publisher = publisher_of(opened)
    with aws_errors(), named_near(opened, model):
        found = publisher.withdraw(model, version, moment())
    if found.withdrawn:
        console.print(f"{model} version {version} was withdrawn at {found.withdrawn}")
    else:
        console.print(
            f"{model}: version {version} is withdrawn; within five seconds it answers no request, "
            "no job and no new run. Runs under way end with it: `quintet runs stop` stops one"
        )
    return {"model": model, "version": version, "objects": 0}


@prints(Gone)
def delete(
    model: Model,
    version: Version,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Gone:
    """Delete the files of a withdrawn version; its number stays taken and its digest known."""
    opened = Stage.open(stage, state)
    publisher = publisher_of(opened)
    with aws_errors(), named_near(opened, model):
        publisher.check_deletable(model, version)
        if using := RunReader(opened).using(model, version):
            raise StageError(
                f"{model} version {version} is in use by the run {using[0]}; wait for its end, or "
                "stop it",
                command=f"quintet runs stop {model} {using[0]}",
            )
        name = f"{model} {version}"
        if (
            not yes
            and typer.prompt(f"Type {name} to delete its files permanently", err=True) != name
        ):
            raise StageError("nothing was deleted", command=f"quintet delete {model} {version}")
        removed = publisher.delete(model, version, moment())
    console.print(f"{model}: version {version} is deleted, {removed} objects")
    return {"model": model, "version": version, "objects": removed}


def _roles(stage: Stage, model: str) -> dict[int, str]:
    """The versions that the model's route and its rollout name, and as what."""
    try:
        stored = rollouts_of(stage).read(model)
    except NotFound:  # its first publication was interrupted
        return {}
    rollout, roles = stored.rollout, {stored.route.live: "live"}
    if rollout is not None and rollout.phase == "watching":
        roles[rollout.live] = "kept ready"
    elif rollout is not None:
        roles[rollout.candidate] = place_of(rollout)
    return roles


def _state(found: Listed, roles: Mapping[int, str]) -> str:
    if found.deleted:
        return "deleted"
    return "withdrawn" if found.withdrawn else roles.get(found.version, "published")
