"""The console of every command: text from models and files cannot control the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

__all__ = ["Console", "visible"]

#: control characters except line ends and tabs, marks that change the direction of text, and
#: surrogates, which cannot be sent to any terminal
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return the text with its control characters as escapes: `\\x1b` in place of the character."""
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


class Console(RichConsole):
    """Rich's console; it writes its own control characters and escapes all others."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            if segment.control or not _UNSEEN.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
