"""`quintet predict`: what a model answers to some records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.json import JSON

from quintet.errors import (
    BadInput,
    Conflict,
    ModelFailure,
    NotFound,
    QuintetError,
    Refusal,
    Transient,
)
from quintet_cli.api import Answer, Api
from quintet_cli.options import Model, ModelVersion, StageName, State
from quintet_cli.registry import unpublished
from quintet_cli.results import prints
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_publish.text_files import read_text

__all__ = ["register"]

EXPECTED = "a record such as '{\"amount\": 12.5}', an array of them, a file of either, or - (stdin)"


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(predict)


@prints(dict[str, Any])
def predict(
    model: Model,
    *,
    records: Annotated[
        str,
        typer.Option(
            "--records",
            help="A JSON record or an array of them; a file of JSON or JSONL; - is the input.",
        ),
    ],
    version: ModelVersion = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> dict[str, Any]:
    """Print what a model answers to records, as the API does."""
    asked = {"records": read_records(records)}
    opened = Stage.open(stage, state)
    pinned = "" if version is None else f"/versions/{version}"
    answer = Api(opened).request("POST", f"/models/{quote(model, safe='')}{pinned}/predict", asked)
    if answer.status != 200:
        raise _error(answer, opened, model)
    Console(highlight=False, soft_wrap=True).print(JSON.from_data(answer.body))
    found: dict[str, Any] = answer.body
    return found


def read_records(given: str) -> list[Any]:
    """The records of an option: JSON, the name of a file of JSON or JSONL, or - for the input.

    Raises:
        BadInput: it is none of them.
        FileNotFoundError: there is no such file.
    """
    text = given.strip()
    if not text.startswith(("{", "[")):
        try:
            text = sys.stdin.read() if text == "-" else read_text(Path(given))
        except UnicodeDecodeError:  # of the standard input
            raise BadInput.of("--records", EXPECTED, "no text in UTF-8") from None
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise BadInput.of("--records", EXPECTED, f"no JSON: {error}") from None
    if isinstance(found, dict):
        found = found["records"] if set(found) == {"records"} else [found]
    if not isinstance(found, list) or not found:
        raise BadInput.of("--records", EXPECTED, json.dumps(found)[:80])
    return found


#: the errors that the API's statuses stand for
_KINDS: dict[int, type[QuintetError]] = {404: NotFound, 409: Conflict, 424: ModelFailure}


def _error(answer: Answer, stage: Stage, model: str) -> QuintetError:
    """The API's refusal as the error that it was made of."""
    problem = answer.body if isinstance(answer.body, dict) else {}
    refusals = [
        Refusal(one.get("row"), one["field"], one["expected"], one["got"])
        for one in problem.get("errors", ())
    ]
    kind = _KINDS.get(answer.status, BadInput if answer.status < 500 else Transient)
    if kind is NotFound and any(one.field == "model" for one in refusals):
        return unpublished(stage, model)
    if refusals and issubclass(kind, BadInput):
        return kind(refusals)
    text = f"the API answered {answer.status}: {problem.get('detail', answer.body)}"
    return QuintetError(text) if issubclass(kind, BadInput) else kind(text)
