"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quintet.errors import BadInput

__all__ = [
    "Features",
    "Form",
    "Header",
    "HeaderForm",
    "InputBucketName",
    "Keep",
    "Model",
    "ModelVersion",
    "Output",
    "Reason",
    "Run",
    "StageName",
    "State",
    "Wait",
    "parsed",
    "report_file",
]


#: characters of a reason: it is stored with each change, and read in tables
MAX_REASON = 500


class Form(StrEnum):
    """The file formats of scores."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"
    input = "input"


class HeaderForm(StrEnum):
    """Whether CSV files have a header."""

    first = "first"
    none = "none"


def _checked_reason(reason: str) -> str:
    if len(reason) > MAX_REASON:
        expected = f"at most {MAX_REASON} characters"
        raise BadInput.of("--reason", expected, str(len(reason)))
    return reason


def report_file(state: Path, out: Path | None, name: str) -> Path:
    """Return where a page is written: `out`, or below the state folder, which git ignores."""
    if out is not None:
        return out
    folder = state / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def parsed(parse: Callable[[str], float]) -> Callable[[str], float]:
    """Return an option's parser from one that raises ValueError."""

    def checked(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return checked


Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]
ModelVersion = Annotated[
    int | None, typer.Option("--version", help="The model's version; by default the live one.")
]
InputBucketName = Annotated[
    str | None, typer.Option("--bucket", help="The bucket of the files; by default the inbox.")
]
Output = Annotated[
    Form | None, typer.Option("--output", help="The format of the scores; Parquet by default.")
]
Header = Annotated[
    HeaderForm | None,
    typer.Option(
        "--header",
        help="Whether the first row of CSV files names the columns; by default as model.yaml says.",
    ),
]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", help="Why, for the history of the model's route.", callback=_checked_reason
    ),
]
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
