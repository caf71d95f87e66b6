"""The console's pages."""

from __future__ import annotations

import time

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from quintet_cli.console.guard import Access, Guard
from quintet_cli.console.pages import STATIC, render
from quintet_cli.console.panels import PANELS
from quintet_cli.console.reads import Reads
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.stage import Stage

__all__ = ["console_of"]

#: bytes of a form
MAX_BODY = 64 * 1024


def console_of(stage: Stage, access: Access, reads: Reads | None = None) -> Starlette:
    """The console of a stage, for whom `access` lets in."""
    pages = _Pages(SharedStage.of(stage), reads or Reads())
    return Starlette(
        routes=[
            Route("/", pages.whole),
            Route("/panels/{name}", pages.panel),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={HTTPException: _not_shown},
        max_body_size=MAX_BODY,
    )


class _Pages:
    def __init__(self, stage: Stage, reads: Reads) -> None:
        self._stage = stage
        self._reads = reads

    async def whole(self, request: Request) -> Response:
        """The page: a section for each panel, which the page then asks for."""
        return HTMLResponse(render("console.html", stage=self._stage, panels=PANELS.values()))

    async def panel(self, request: Request) -> Response:
        """What a panel shows now."""
        panel = PANELS.get(request.path_params["name"])
        if panel is None:
            raise HTTPException(404)
        outcome = await self._reads.look(panel.name, lambda: panel.read(self._stage))
        local = self._stage.name == "local"
        at = "" if local else f" --stage {self._stage.name}"
        return HTMLResponse(
            render(
                f"panels/{panel.name}.html",
                panel=panel,
                outcome=outcome,
                found=outcome.value,
                empty=panel.empty.format(at=at),
                at=at,
                now=time.time(),
            )
        )


async def _not_shown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "There is no such page." if error.status_code == 404 else error.detail
    return HTMLResponse(render("problem.html", text=text), error.status_code)
