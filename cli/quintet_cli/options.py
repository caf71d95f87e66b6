"""The options that commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Features", "Form", "Keep", "Model", "Run", "StageName", "State", "Wait"]


class Form(StrEnum):
    """The forms that scores can have."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"
    input = "input"


Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]
Run = Annotated[str | None, typer.Argument(help="The run; by default the newest.", metavar="RUN")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run until its report.")]
StageName = Annotated[str, typer.Option("--stage", help="local, or a deployed stage.")]
Keep = Annotated[
    str | None,
    typer.Option(
        "--keep", help="Input columns to write beside the scores: a,b=new name; * for all."
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features", help="A prefix of Parquet files with past values of the stored features."
    ),
]
State = Annotated[Path, typer.Option("--state", help="The folder of the local AWS's state.")]
