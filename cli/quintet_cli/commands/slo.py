"""`quintet slo`: what is left of each model's error budget, and how fast it is spent."""

from __future__ import annotations

import time

import typer

from quintet_cli.budgets import budgets_of
from quintet_cli.options import StageName, State
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.slo import burning_lines, died_line, legend, slo_table

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(slo)


def slo(stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """Show what is left of each model's error budget, and how fast it is spent."""
    found = budgets_of(Stage.open(stage, state), time.time())
    if not found.of:
        console.print(f"no model is published on stage {stage}", markup=False)
        return
    wide = Console(highlight=False, width=max(console.width, 120))
    wide.print(slo_table(found))
    for line in (legend(), *burning_lines(found), died_line(found)):
        console.print(line, markup=False, soft_wrap=True)
