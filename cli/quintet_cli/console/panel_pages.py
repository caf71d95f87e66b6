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
        self._costs = stage.endpoint_url is None
        #: when panels were read that are read less often, and what they showed
        self._kept: dict[str, tuple[float, str]] = {}
        self._at = "" if stage.name == "local" else f" --stage {stage.name}"

    async def whole(self, request: Request) -> Response:
        """The page: a section for each panel, which the page then asks for."""
        panels = [(panel, _given(panel, request)) for panel in PANELS.values()]
        return HTMLResponse(render("console.html", stage=self._stage, panels=panels))

    async def panel(self, request: Request) -> Response:
        """What a panel shows now."""
        panel = PANELS.get(request.path_params["name"])
        if panel is None:
            raise HTTPException(404)
        given = _given(panel, request)
        name, now = f"{panel.name} {given}", time.monotonic()
        began, content = self._kept.get(name, (0.0, ""))
        if content and self._costs and now - began < panel.seconds:
            return HTMLResponse(content)
        outcome = await self._reads.look(name, lambda: self._content(panel, given))
        if outcome.problem:
            return HTMLResponse(render("not_read.html", outcome=outcome, now=time.time()))
        if panel.seconds:
            self._kept[name] = (now, outcome.value)
        return HTMLResponse(outcome.value)

    def _content(self, panel: Panel, given: dict[str, str]) -> str:
        found = panel.read(self._stage, **given)
        empty = panel.empty.format(at=self._at)
        shown = {"found": found, "empty": empty, "at": self._at, "now": time.time()}
        return render(f"panels/{panel.name}.html", **shown)


def _given(panel: Panel, request: Request) -> dict[str, str]:
    """What was typed into a panel's fields."""
    typed = {name: request.query_params.get(name, "").strip() for name in panel.asks}
    return {name: value for name, value in typed.items() if value}
