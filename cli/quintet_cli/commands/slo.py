"""`quintet slo`: what is left of each model's error budget, and how fast it is spent."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from quintet.errors import Transient
from quintet_cli.budgets import budgets_of
from quintet_cli.options import State
from quintet_cli.results import prints
from quintet_cli.shapes import SloView
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError, all_stages
from quintet_cli.terminal import Console
from quintet_cli.views.slo import burning_lines, died_line, legend, slo_table

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(slo)


@prints(list[SloView])
def slo(
    stage: Annotated[
        str | None,
        typer.Option("--stage", help="local, or a deployed stage; by default all that exist."),
    ] = None,
    state: State = DEFAULT_STATE,
) -> list[SloView]:
    """Show what is left of each model's error budget, and how fast it is spent."""
    if stage is not None:
        found = _show(Stage.open(stage, state))
        _say(legend())
        return found
    stages, unknown = all_stages(state)
    shown: list[SloView] = []
    for one in stages:
        try:
            shown += _show(one)
        except Transient as error:
            unknown.setdefault(str(error), []).append(one.name)
    for reason, names in unknown.items():
        _say(f"not shown: {', '.join(names)} ({reason})")
    if not stages:
        raise StageError(
            "no stage was found: no local one runs, and samconfig.toml names the stages that "
            "`make deploy STAGE=...` makes",
            command="quintet up --detach",
        )
    _say(legend())
    return shown


def _show(stage: Stage) -> list[SloView]:
    found = budgets_of(stage, time.time())
    console.print(f"stage {stage.name}", style="bold", markup=False)
    if not found.of:
        _say("no model is published")
        return []
    console.print(slo_table(found))
    for line in (*burning_lines(found), died_line(found)):
        _say(line)
    return [
        {
            "stage": stage.name,
            "model": model,
            "requests": budget.spent.requests,
            "availability_left": budget.availability_left,
            "latency_left": budget.latency_left,
            "burning": [str(pair) for pair, models in found.burning.items() if model in models],
        }
        for model, budget in found.of.items()
    ]


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
