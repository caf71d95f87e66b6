"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["StageName", "State"]

StageName = Annotated[str, typer.Option("--stage", help="local, or a deployed stage.")]
State = Annotated[Path, typer.Option("--state", help="The folder of the local AWS's state.")]
