"""The `quintet` command: its groups come from one module each."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from quintet.errors import QuintetError
from quintet_cli.stacks import StageError, explained, unify_region
from quintet_cli.terminal import Console
from quintet_local.loopback import bypass_proxies

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Serve ONNX models through every pattern, on this machine or on AWS.",
)

# Each module of commands/ has a function `register(app)` that adds its commands.
COMMANDS = (
    "local",
    "choose",
    "publish",
    "versions",
    "rollout",
    "rehearse",
    "features",
    "drop",
    "run",
    "backfill",
    "runs",
    "table",
    "candidates",
    "scores",
    "jobs",
    "endpoints",
    "dlq",
    "stream",
    "slo",
    "captures",
    "skew",
    "monitor",
    "labels",
    "quality",
    "trace",
    "doctor",
    "destroy",
    "demo",
)

for _module in COMMANDS:
    importlib.import_module(f"quintet_cli.commands.{_module}").register(app)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        print(f"quintet {importlib.metadata.version('quintet-serving')}")
        raise typer.Exit


def main() -> None:
    """Run the command; an expected error, or an error of AWS, prints one line, not a traceback."""
    bypass_proxies(os.environ)
    unify_region(os.environ)
    try:
        app()
    except (QuintetError, StageError, BotoCoreError, ClientError, OSError) as error:
        # quoted text may look like rich's markup; the terminal wraps lines
        text = explained(error) or explained(error.__cause__) or str(error)
        console = Console(stderr=True)
        console.print(f"[red]error:[/red] {escape(text)}", highlight=False, soft_wrap=True)
        sys.exit(1)
