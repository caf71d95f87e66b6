"""The console of every command: text from models and files cannot control the terminal.

Its tables cut nothing. Up to `WIDTH` they are as wide as their texts, also in a narrower terminal,
so that a name can be copied whole; what is longer goes on in the next line of its column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

__all__ = ["Console", "visible"]

#: control characters except line ends and tabs, marks that change the direction of text, and
#: surrogates, which cannot be sent to any terminal
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return the text with its control characters as escapes: `\\x1b` in place of the character."""
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


#: how wide a table may be in a terminal that is narrower
WIDTH = 160


class Console(RichConsole):
    """Rich's console; it writes its own control characters and escapes all others."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See `rich.console.Console.print`; tables are up to `WIDTH` wide, and cut nothing."""
        tables = [one for one in objects if isinstance(one, Table)]
        before, wide = self._width, self.options.update(width=max(self.width, WIDTH))
        for table in tables:
            for column in table.columns:
                column.overflow = "fold"
            self.width = max(self.width, self.measure(table, options=wide).maximum)
        try:
            super().print(*objects, **options)
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
