"""`quintet rollback`: back to the version that was live before."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from quintet.errors import Conflict
from quintet.rollouts.store import Change
from quintet_cli.commands.publish import publisher_of
from quintet_cli.options import Model, Reason, StageName, State
from quintet_cli.results import prints
from quintet_cli.rollouts import StageRollouts
from quintet_cli.shapes import Live
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(rollback)


@prints(Live)
def rollback(
    model: Model, reason: Reason = "", stage: StageName = "local", state: State = DEFAULT_STATE
) -> Live:
    """Make the version live that was live before; end a rollout if one is in progress."""
    opened = Stage.open(stage, state)
    rollouts = StageRollouts(opened)
    stored = rollouts.stored(model)
    if stored.rollout is not None:
        version = rollouts.roll_back(model, reason).after["live"]
    else:
        version = version_before(rollouts.history(model), stored.route.live)
        publisher_of(opened).promote(model, version, reason)
    console.print(f"{model}: version {version} is live; it answers within five seconds")
    return {"model": model, "live": version, "before": stored.route.live}


def version_before(history: Sequence[Change], live: int) -> int:
    """The version that was live before one became it, by the history of a route, oldest first.

    Raises:
        Conflict: no other version was live.
    """
    for change in reversed(history):
        if change.before and change.after["live"] == live != change.before["live"]:
            return int(change.before["live"])
    raise Conflict.of("MODEL", "a version that was live before", f"only version {live}")
