"""`quintet destroy`: delete a deployed stage and all its data."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from quintet_cli.destroyer import SAM_STACK, Destroyer, StageResources
from quintet_cli.results import prints
from quintet_cli.shapes import Destroyed
from quintet_cli.stacks import StageError, explained
from quintet_cli.terminal import Console

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(destroy)


@prints(Destroyed)
def destroy(
    *,
    stage: Annotated[str, typer.Option("--stage", help="The deployed stage.")],
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
) -> Destroyed:
    """Delete a deployed stage: its stack, and its buckets, tables and logs with their content."""
    if stage == "local":
        raise StageError(
            "the local AWS is no deployed stage; stop it, then `quintet up --fresh`, or removing "
            ".quintet, deletes what it keeps",
            command="quintet down",
        )
    try:
        return _destroy(stage, yes)
    except (BotoCoreError, ClientError) as error:
        why = str(explained(error) or error)
        raise StageError(why, command=f"quintet destroy --stage {stage}") from error


def _destroy(stage: str, yes: bool) -> Destroyed:
    import boto3  # no help of a command needs it

    session = boto3.Session()
    destroyer = Destroyer(session.client, stage, _say)
    _say(_where(session))
    standing = destroyer.find()
    if not standing:
        _say(f"no resource of stage {stage} exists here")
        return {"stacks": [], "buckets": [], "tables": [], "logs": []}
    _show(standing)
    if (
        not yes
        and typer.prompt(f"Type {stage} to delete all of this permanently", err=True) != stage
    ):
        raise StageError("nothing was deleted", command=f"quintet destroy --stage {stage}")
    destroyer.destroy(standing)
    if left := destroyer.left(standing):
        _show(left)
        raise StageError("these resources are left", command=f"quintet destroy --stage {stage}")
    _say(f"all resources of stage {stage} are deleted")
    _say(f"stack {SAM_STACK} is kept: SAM shares its bucket between all applications")
    return {
        "stacks": list(standing.stacks),
        "buckets": list(standing.buckets),
        "tables": list(standing.tables),
        "logs": list(standing.logs),
    }


def _where(session: Any) -> str:
    account = session.client("sts").get_caller_identity()["Account"]
    return f"account {account}, region {session.region_name}"


def _show(standing: StageResources) -> None:
    kinds = {
        "stack": standing.stacks,
        "bucket": standing.buckets,
        "table": standing.tables,
        "log group": standing.logs,
        "packages": standing.packages,
    }
    for kind, names in kinds.items():
        for name in names:
            _say(f"  {kind:<10}{name}")


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)  # not wrapped, so that it can be copied
