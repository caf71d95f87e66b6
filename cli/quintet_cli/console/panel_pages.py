"""The page with all panels, and what each shows."""

from __future__ import annotations

import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from quintet_cli.console.panels import PANELS, Panel
from quintet_cli.console.reads import Reads
from quintet_cli.console.rendering import render
from quintet_cli.console.shared_stage import SharedStage

__all__ = ["PanelPages"]


class PanelPages:
    """The page of a stage."""

    def __init__(self, stage: SharedStage, reads: Reads) -> None:
        self._stage = stage
        self._reads = reads
        self._at = "" if stage.name == "local" else f" --stage {stage.name}"

    async def whole(self, request: Request) -> Response:
        """The page: a section for each panel, which the page then asks for."""
        return HTMLResponse(render("console.html", stage=self._stage, panels=PANELS.values()))

    async def panel(self, request: Request) -> Response:
        """What a panel shows now."""
        panel = PANELS.get(request.path_params["name"])
        if panel is None:
            raise HTTPException(404)
        outcome = await self._reads.look(panel.name, lambda: self._content(panel))
        if outcome.problem:
            return HTMLResponse(render("not_read.html", outcome=outcome, now=time.time()))
        return HTMLResponse(outcome.value)

    def _content(self, panel: Panel) -> str:
        found = panel.read(self._stage)
        empty = panel.empty.format(at=self._at)
        shown = {"found": found, "empty": empty, "at": self._at, "now": time.time()}
        return render(f"panels/{panel.name}.html", **shown)
