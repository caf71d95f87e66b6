"""`quintet proxy`: a sidecar that signs requests of clients on this machine."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from quintet_cli.options import StageName, State
from quintet_cli.stacks import StageError
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(proxy)


def proxy(
    *,
    stage: StageName = "local",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 4568,
    batch_ms: Annotated[
        float,
        typer.Option(
            min=0, max=1_000, help="How long a small request waits for others; 0 combines none."
        ),
    ] = 0,
    batch_rows: Annotated[
        int, typer.Option(min=2, max=10_000, help="Rows of a combined request, at most.")
    ] = 64,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print a line for each request.")
    ] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Sign requests of any client of this machine, and combine small ones."""
    opened = Stage.open(stage, state)
    if (takes := opened.outputs.get("ApiAuth")) in ("keys", "jwt"):
        # nor could requests of different callers be combined
        raise StageError(
            f"stage {stage} takes no signatures (its ApiAuth is {takes}): clients send their own "
            "key or token in a header, to the API itself",
            command="quintet keys ls",
        )
    # not for the help of other commands: it takes a fifth of a second to import
    from quintet_cli.proxy.server import HEALTH, Settings, serve
    from quintet_cli.proxy.upstream import Signer

    console = Console(highlight=False, soft_wrap=True, markup=False)

    def started(address: str) -> None:
        console.print(f"{address} passes requests on to stage {stage}, signed: {opened.api_url}")
        if batch_ms:
            console.print(
                f"small requests wait up to {batch_ms:g} ms for others, up to {batch_rows} rows "
                "together"
            )
        console.print(f"{address}{HEALTH} says what it did; Ctrl-C stops it")

    settings = Settings(
        stage,
        port,
        batch_seconds=batch_ms / 1000,
        batch_rows=batch_rows,
        access=console.print if verbose else None,
    )
    signer = Signer(opened.credentials, opened.region)
    asyncio.run(serve(settings, opened.api_url, signer, started))
