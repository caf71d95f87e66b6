"""`quintet scores`: load the scores of a run for look-up."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet_cli.options import Model, StageName, State
from quintet_cli.results import prints
from quintet_cli.score_loader import Loaded, load_scores
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]

scores = typer.Typer(no_args_is_help=True, help="Load scores for look-up by entity.")
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(scores, name="scores")


@scores.command()
@prints(Loaded)
def load(
    model: Model,
    run: Annotated[
        str | None,
        typer.Argument(help="The run; by default the one that readers see.", metavar="RUN"),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days to keep them.")] = 30,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Loaded:
    """Load the scores of a run, so that GET /scores/MODEL/ENTITY returns them.

    Later scores are kept: a run's scores count from its start, a stream's from the record's
    arrival.
    """
    loaded = load_scores(Stage.open(stage, state), model, run, days)
    console.print(
        f"{loaded.changed:,} of {loaded.entities:,} entities of run "
        f"[bold]{loaded.run}[/bold] loaded"
    )
    if loaded.changed < loaded.entities:
        console.print("  the others have a later score already")
    return loaded
