"""The panels of the console, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quintet_cli.console.sources.models import read_models
from quintet_cli.stage import Stage

__all__ = ["PANELS", "Panel"]


@dataclass(frozen=True, slots=True)
class Panel:
    """A section of the page: templates/panels/<name>.html shows what `read` gives.

    `empty` says what fills it where there is nothing to show; `{at}` is the option of the stage.
    """

    name: str
    title: str
    read: Callable[[Stage], Any]
    empty: str


PANELS = {
    panel.name: panel
    for panel in (
        Panel(
            "models",
            "Models and routes",
            read_models,
            "No model is published: `quintet publish DIR{at}` publishes a package.",
        ),
    )
}
