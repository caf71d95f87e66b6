"""The options that commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Features", "Form", "Keep", "StageName", "State"]


class Form(StrEnum):
    """The forms that scores can have."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"
    input = "input"


StageName = Annotated[str, typer.Option("--stage", help="local, or a deployed stage.")]
Keep = Annotated[
    str | None,
    typer.Option("--keep", help="Columns of the input beside the scores: a,b=new name; * is all."),
]
Features = Annotated[
    str | None,
    typer.Option("--features", help="A prefix of Parquet: what stored features were, and when."),
]
State = Annotated[Path, typer.Option("--state", help="The folder of the local AWS's state.")]
