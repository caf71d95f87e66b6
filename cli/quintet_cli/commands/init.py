"""`quintet init`: a model package from a graph and a sample of its data."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import BaseModel, ConfigDict
from rich.prompt import Prompt

from quintet.errors import BadInput
from quintet.serving.routes import NAME
from quintet_cli.results import Json, prints
from quintet_cli.stacks import NoStage
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.init import guesses_view
from quintet_publish.init.names import model_name
from quintet_publish.new_folder import check_new
from quintet_publish.problems import Ambiguous, PackageError, Problem

if TYPE_CHECKING:
    from quintet_publish.init.draft import Draft

__all__ = ["Initialised", "register"]

DEFAULT_API = "http://127.0.0.1:4567"
#: a longer request is sent from its file
INLINE = 1000

console = Console(highlight=False, soft_wrap=True)
asked = Console(stderr=True, highlight=False, soft_wrap=True)


class Found(BaseModel):
    """A guess with its reason."""

    model_config = ConfigDict(extra="forbid")

    what: str
    value: Any
    reason: str


class Initialised(BaseModel):
    """A package that was written, and the commands that serve it."""

    model_config = ConfigDict(extra="forbid")

    package: str
    name: str
    guesses: list[Found]
    missing: list[str]
    next: list[str]
    curl: str


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(init)


@prints(Initialised)
def init(
    graph: Annotated[Path, typer.Argument(help="The graph.", metavar="MODEL.onnx")],
    sample: Annotated[
        Path | None,
        typer.Argument(
            help="Rows that the model takes: CSV, Parquet or JSONL.", metavar="[SAMPLE]"
        ),
    ] = None,
    *,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="The sample's column of right answers."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; by default the file's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="A folder that is empty or does not exist."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take all guesses without a question.")
    ] = False,
    as_json: Json = False,
) -> Initialised:
    """Write a model package from an ONNX graph and a sample of its data.

    Runs the graph on the sample, proposes every field of model.yaml with its reason, and checks
    the package as `publish` does. Nothing is overwritten.
    """
    # with onnx and onnxruntime, which no help needs
    from quintet_publish.init.proposal import propose
    from quintet_publish.init.table import read_sample
    from quintet_publish.init.writing import write_package

    title = name or model_name(graph.stem)
    if not NAME.fullmatch(title):
        raise BadInput.of("--name", "a lower-case letter, then letters, digits, _ or -", title)
    folder = out or Path(title)
    check_new(folder, "--out")
    ask = not (yes or as_json) and sys.stdin.isatty()
    table = None if sample is None else read_sample(sample)

    def proposed(given: dict[str, list[str]]) -> Draft:
        return propose(
            graph,
            table,
            name=title,
            label=label,
            sample=sample,
            given=given,
            clock=time.perf_counter,
        )

    draft = _with_columns(proposed) if ask else proposed({})
    if ask:
        _review(draft)
    try:
        write_package(draft, folder)
    except PackageError as error:
        told = f"has the package; mend it, then `quintet check {shlex.quote(str(folder))}`"
        raise PackageError([*error.problems, Problem(str(folder), told)]) from error
    return _told(draft, folder)


def _with_columns(proposed: Callable[[dict[str, list[str]]], Draft]) -> Draft:
    """Ask for the columns of inputs that cannot be guessed."""
    given: dict[str, list[str]] = {}
    while True:
        try:
            return proposed(given)
        except Ambiguous as error:
            asked.print(f"columns: {', '.join(error.columns)}", markup=False)
            question = f"Which of them feed the input {error.name}, in order, by commas?"
            names = [part.strip() for part in Prompt.ask(question, console=asked).split(",")]
            if unknown := [name for name in names if name not in error.columns]:
                asked.print(f"no column is called {', '.join(unknown)}", markup=False)
            else:
                given[error.name] = names


def _review(draft: Draft) -> None:
    """Show the guesses, and change those that the user says."""
    asked.print(guesses_view(draft.guesses))
    while answer := Prompt.ask(
        "Change a guess: its number and the new value in YAML; Enter takes all",
        console=asked,
        default="",
        show_default=False,
    ).strip():
        number, _, text = answer.partition(" ")
        if not number.isdecimal() or not 1 <= int(number) <= len(draft.guesses):
            asked.print(f"expected a number from 1 to {len(draft.guesses)}, got {number}")
        elif not draft.guesses[int(number) - 1].path:
            asked.print("that is what was done to the graph or read from the sample")
        else:
            try:
                draft.change(int(number) - 1, text)
            except (PackageError, yaml.YAMLError) as error:
                asked.print(str(error), markup=False)


def _told(draft: Draft, folder: Path) -> Initialised:
    """Print what was guessed, what is missing, and what to do next."""
    from quintet_publish.init.writing import REQUEST

    name = draft.contract["name"]
    found = Initialised(
        package=str(folder),
        name=name,
        guesses=[Found(what=g.what, value=g.value, reason=g.reason) for g in draft.guesses],
        missing=draft.missing,
        next=[
            "quintet up --detach",
            f"quintet publish {shlex.quote(str(folder))}",
            f"quintet predict {name} --records {shlex.quote(str(folder / REQUEST))}",
        ],
        curl=_curl(name, folder / REQUEST),
    )
    console.print(guesses_view(draft.guesses))
    for text in found.missing:
        console.print(f"missing: {text}", markup=False)
    console.print(f"{folder} has the package, and passes the checks of `publish`. Serve it:")
    for command in (*found.next, found.curl):
        console.print(f"  {command}", markup=False)
    return found


def _curl(name: str, request: Path) -> str:
    """A curl line for the local AWS that runs, or that `quintet up` starts."""
    try:
        api = Stage.open("local", DEFAULT_STATE).api_url
    except NoStage:
        api = DEFAULT_API
    text = request.read_text(encoding="utf-8").strip()
    body = shlex.quote(text if len(text) <= INLINE else f"@{request}")
    return f"curl -s {api.rstrip('/')}/models/{name}/predict -d {body}"
