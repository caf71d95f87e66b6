"""Single records of a stage: an event's captures, and the reports of runs and days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from quintet.batch.plans import RunPaths
from quintet.serving.routes import NAME
from quintet_cli.console.reads import Reads
from quintet_cli.console.rendering import render
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.console.sources.records import read_day, read_event
from quintet_cli.console.stored import stored_page
from quintet_cli.run_reader import RunReader

__all__ = ["RecordPages"]

#: how long a page of its own waits
PATIENCE_SECONDS = 60.0


class RecordPages:
    """The pages of records."""

    def __init__(self, stage: SharedStage, reads: Reads) -> None:
        self._stage = stage
        self._reads = reads

    async def event(self, request: Request) -> Response:
        """An event with all of its rows."""
        model, event = _model(request), _text(request, "event")
        parts = await self._read(request, lambda: read_event(self._stage, model, event))
        if not parts:
            raise HTTPException(404, f"No capture of {event}: its days may be over.")
        return HTMLResponse(render("event.html", event=event, parts=parts))

    async def run(self, request: Request) -> Response:
        """The report of a run, as its function wrote it."""
        folder = RunPaths(_model(request), _text(request, "run"))
        body = await self._read(request, lambda: RunReader(self._stage).store.get(folder.page))
        return _report(body, f"run {folder.run}")

    async def day(self, request: Request) -> Response:
        """The report of a model's day."""
        model, text = _model(request), _text(request, "day")
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise HTTPException(400, f"Expected a day such as 2026-01-31, got {text!r}.") from None
        body = await self._read(request, lambda: read_day(self._stage, model, day))
        return _report(body, f"{model} on {day}")

    async def _read(self, request: Request, read: Callable[[], Any]) -> Any:
        outcome = await self._reads.look(str(request.url), read, PATIENCE_SECONDS)
        if outcome.problem:
            raise HTTPException(502, f"Not shown: {outcome.problem}.")
        return outcome.value


def _report(body: bytes | None, of: str) -> Response:
    if body is None:
        raise HTTPException(404, f"There is no report of {of}.")
    return stored_page(body)


def _model(request: Request) -> str:
    model = _text(request, "model")
    if not NAME.fullmatch(model):
        raise HTTPException(400, f"Expected the name of a model, got {model[:80]!r}.")
    return model


def _text(request: Request, name: str) -> str:
    found = request.query_params.get(name, "")
    if not found or "/" in found:
        raise HTTPException(400, f"Expected a {name}, got {found[:80]!r}.")
    return found
