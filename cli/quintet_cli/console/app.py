"""The console: its pages, and who gets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from quintet_cli.console.guard import Access, Guard
from quintet_cli.console.panel_pages import PanelPages
from quintet_cli.console.reads import Reads
from quintet_cli.console.record_pages import RecordPages
from quintet_cli.console.rendering import STATIC, render
from quintet_cli.console.replay_pages import ReplayPages
from quintet_cli.console.replays import Replays
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.stage import Stage

__all__ = ["console_of"]

#: bytes of a form
MAX_BODY = 64 * 1024


def console_of(stage: Stage, access: Access, reads: Reads | None = None) -> Starlette:
    """The console of a stage, for whom `access` lets in."""
    shared, reads = SharedStage.of(stage), reads or Reads()
    replays = Replays(shared)
    panels, records = PanelPages(shared, reads), RecordPages(shared, reads)
    refused = ReplayPages(replays, reads)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await to_thread.run_sync(replays.stop)

    return Starlette(
        routes=[
            Route("/", panels.whole),
            Route("/panels/{name}", panels.panel),
            Route("/captures", records.event),
            Route("/reports/run", records.run),
            Route("/reports/day", records.day),
            Route("/refused", refused.source),
            Route("/replays", refused.ask, methods=["POST"]),
            Route("/replays/start", refused.start, methods=["POST"]),
            Route("/replays/{id}", refused.running),
            Route("/replays/{id}/state", refused.state),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={HTTPException: _not_shown},
        lifespan=lifespan,
        max_body_size=MAX_BODY,
    )


async def _not_shown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "There is no such page." if error.detail == "Not Found" else error.detail
    return HTMLResponse(render("problem.html", text=text), error.status_code)
