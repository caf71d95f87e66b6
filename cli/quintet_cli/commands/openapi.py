"""`quintet openapi`: the description of the API, as JSON or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from quintet.errors import QuintetError, Transient
from quintet_cli.api import Api
from quintet_cli.options import StageName, State
from quintet_cli.registry import unpublished
from quintet_cli.results import prints
from quintet_cli.stage import DEFAULT_STATE, Stage

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(openapi)


@prints(dict[str, Any])
def openapi(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model of the stage, or the folder of a package; by default the whole API.",
            metavar="[MODEL|DIR]",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page into this file in place of JSON.")
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> dict[str, Any]:
    """Print the OpenAPI document of a stage, of one of its models, or of a package."""
    from quintet_cli.openapi import page, text

    if model is not None and (Path(model) / "model.yaml").exists():
        document = _of_package(Path(model))
    else:
        document = _of_stage(Stage.open(stage, state), model)
    if html is None:
        typer.echo(text(document), nl=False)
    else:
        html.write_text(page(document), encoding="utf-8")
        typer.echo(f"wrote {html}")
    return document


def _of_package(folder: Path) -> dict[str, Any]:
    from quintet.openapi.document import document
    from quintet_cli.openapi import described

    return document([described(folder)], whole=False)


def _of_stage(stage: Stage, model: str | None) -> dict[str, Any]:
    path = "/openapi.json" if model is None else f"/models/{quote(model, safe='')}/openapi.json"
    answer = Api(stage).request("GET", path)
    if answer.status == 404 and model is not None:
        raise unpublished(stage, model)
    if answer.status != 200 or not isinstance(answer.body, dict):
        problem = answer.body.get("detail") if isinstance(answer.body, dict) else None
        kind = Transient if answer.status >= 500 else QuintetError
        raise kind(f"the API answered {answer.status}: {problem or 'no document'}")
    found: dict[str, Any] = answer.body
    found["servers"] = [{"url": stage.api_url}]
    return found
