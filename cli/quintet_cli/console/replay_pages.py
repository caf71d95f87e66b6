"""Refused items, and their replay: look, ask, confirm, follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from quintet.errors import NotFound
from quintet_cli.console.reads import Reads
from quintet_cli.console.rendering import render
from quintet_cli.console.replays import Replays
from quintet_cli.failures import reason_of

__all__ = ["ReplayPages"]

PATIENCE_SECONDS = 120.0


class ReplayPages:
    """The pages of refused items and of replays."""

    def __init__(self, replays: Replays, reads: Reads) -> None:
        self._replays = replays
        self._reads = reads

    async def source(self, request: Request) -> Response:
        """What a source holds, and the form that asks for its replay."""
        name, filters, again = _asked(request.query_params.multi_items())
        look = f"refused {name} {filters} {again}"
        outcome = await self._reads.look(
            look, lambda: self._replays.preview(name, filters, again), PATIENCE_SECONDS
        )
        if outcome.problem:
            raise HTTPException(502, f"Not shown: {outcome.problem}.")
        shown = {"preview": outcome.value, "filters": filters, "again": again}
        return HTMLResponse(render("refused.html", **shown))

    async def ask(self, request: Request) -> Response:
        """The question whether to replay what was looked at."""
        name, filters, again = _asked(await _form(request))
        asked = await self._do(lambda: self._replays.ask(name, filters, again))
        return HTMLResponse(render("confirm.html", asked=asked, preview=asked.preview))

    async def start(self, request: Request) -> Response:
        """Start the replay whose question was answered by its source's name."""
        form = dict(await _form(request))
        id, typed = form.get("replay", ""), form.get("confirm", "")
        running = await self._do(lambda: self._replays.start(id, typed))
        return RedirectResponse(f"/replays/{running.run.id}", 303)

    async def running(self, request: Request) -> Response:
        """A replay that runs or has ended."""
        return await self._shown(request, "replay.html")

    async def state(self, request: Request) -> Response:
        """The part of it that changes."""
        return await self._shown(request, "replay_state.html")

    async def _shown(self, request: Request, template: str) -> Response:
        running = await self._do(lambda: self._replays.find(request.path_params["id"]))
        return HTMLResponse(render(template, running=running, run=running.run))

    async def _do(self, act: Callable[[], Any]) -> Any:
        try:
            return await to_thread.run_sync(act)
        except Exception as error:
            if (reason := reason_of(error)) is None:
                raise
            status = 404 if isinstance(error, NotFound) else 400
            raise HTTPException(status, f"Nothing was replayed: {reason}.") from error


async def _form(request: Request) -> list[tuple[str, str]]:
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    return [(name, value) for name, values in fields.items() for value in values]


def _asked(fields: list[tuple[str, str]]) -> tuple[str, list[str], bool]:
    """The source, the filters and whether to send again what was replayed before."""
    filters = [value for name, value in fields if name == "filter" and value.strip()]
    found = dict(fields)
    if not found.get("name"):
        raise HTTPException(400, "Expected the name of a source.")
    return found["name"], filters, found.get("again") == "yes"
