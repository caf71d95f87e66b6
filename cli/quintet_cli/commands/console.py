"""`quintet console`: a page about a stage, served on this machine."""

from __future__ import annotations

import os
import webbrowser
from typing import Annotated

import typer

from quintet_cli.options import StageName, State
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command("console")(console)


def console(
    *,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Its port; by default 4568, or a free one if that is taken."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Serve a page about a stage on this machine: models, rollouts, traffic, runs, refusals."""
    from quintet_cli.console.serving import PORT, listen, running_url, serve  # its server is large

    opened, beside = Stage.open(stage, state), state if stage == "local" else None
    terminal = Console(highlight=False)

    def ready(url: str) -> None:
        terminal.print(f"Console  {url}", markup=False, soft_wrap=True)
        if show:
            webbrowser.open(url)

    if beside and port is None and (url := running_url(beside)):
        ready(url)
        return
    listening = listen(PORT if port is None else port, or_any=port is None)
    serve(opened, listening, beside, ready)
    # a thread may still wait for AWS; none holds work to finish
    os._exit(0)
