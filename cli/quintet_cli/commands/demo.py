"""`quintet demo`: the main workflow on the local AWS."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet_cli.options import State
from quintet_cli.stage import DEFAULT_STATE

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command()(demo)


def demo(
    *,
    orders: Annotated[int, typer.Option(help="How many orders to score over HTTP.", min=1)] = 500,
    jobs: Annotated[int, typer.Option(help="How many jobs to submit at once.", min=1)] = 200,
    port: Annotated[int, typer.Option(help="Port of the AWS endpoint; 0 takes a free one.")] = 4566,
    api_port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 4567,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="If it is not running, start the local AWS empty.")
    ] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Run the main workflow here: orders, rollouts, jobs, a stream, a file, recommendations."""
    from quintet_cli.demo.tour import tour  # with onnx and onnxruntime, which no help needs

    tour(orders, jobs, port, api_port, fresh=fresh, state=state)
