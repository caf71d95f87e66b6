"""`quintet console`: a page about a stage, served on this machine."""

from __future__ import annotations

import os
import webbrowser
from typing import Annotated

import typer

from quintet_cli.console.beside import (
    PORT,
    listen,
    new_token,
    remember,
    running_url,
    url_of,
)
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
            min=0, max=65535, help="Its port; by default 4569, or a free one if that is taken."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Serve a page about a stage on this machine: models, rollouts, traffic, runs, refusals."""
    opened, beside = Stage.open(stage, state), state if stage == "local" else None
    url = running_url(state) if beside and port is None else None
    if url is not None:
        _told(url, show)
        return
    from quintet_cli.console.serving import serve  # its server takes time to import

    token = new_token()
    listening = listen(PORT if port is None else port, or_any=port is None)
    url = url_of(listening, token)
    if beside and running_url(state) is None:
        remember(state, os.getpid(), url)
    _told(url, show)
    serve(opened, listening, token, beside)
    # a thread may still wait for AWS; none holds work to finish
    os._exit(0)


def _told(url: str, show: bool) -> None:
    Console(highlight=False).print(f"Console  {url}", markup=False, soft_wrap=True)
    if show:
        webbrowser.open(url)
