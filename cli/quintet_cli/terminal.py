"""The console of every command: text from models and files cannot control the terminal.

Its tables cut nothing, so that a name can be copied whole. A table that is wider than the terminal
becomes a list, a line a cell; in a file or a pipe it is as wide as its texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from quintet_local.failures import TRY

__all__ = ["Console", "tell", "visible"]

#: control characters except line ends and tabs, marks that change the direction of text, and
#: surrogates, which cannot be sent to any terminal
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return the text with its control characters as escapes: `\\x1b` in place of the character."""
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


#: a table in a file or a pipe is as wide as its texts, up to this
WIDTH = 10_000


class Console(RichConsole):
    """Rich's console; it writes its own control characters and escapes all others."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See `rich.console.Console.print`; tables cut nothing."""
        before, wide = self._width, self.options.update(width=WIDTH)
        shown = list(objects)
        for place, one in enumerate(objects):
            if not isinstance(one, Table):
                continue
            for column in one.columns:
                column.overflow = "fold"
            needed = self.measure(one, options=wide).maximum
            if not self.is_terminal:
                self.width = max(self.width, needed)
            elif needed > self.width and one.show_header:
                shown[place] = _listed(one)
        try:
            super().print(*shown, **options)
        finally:
            self._width = before

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            if segment.control or not _UNSEEN.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def tell(text: str, command: str) -> None:
    """Print why a command failed, and what to run next: it is the last line, alone."""
    # quoted text may look like rich's markup; the terminal wraps lines
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[red]error:[/red] {escape(text)}\n[dim]{TRY}[/dim]{escape(command)}")


def _listed(table: Table) -> Table:
    """The cells of a table below each other, each beside the head of its column."""
    found = Table(title=table.title, box=None, show_header=False)
    found.add_column(style="dim")
    found.add_column(overflow="fold")
    rows = zip(*(column.cells for column in table.columns), strict=True)
    for number, cells in enumerate(rows):
        if number:
            found.add_row()
        for column, cell in zip(table.columns, cells, strict=True):
            if cell != "":
                found.add_row(column.header, cell)
    return found
