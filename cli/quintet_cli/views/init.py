"""The guesses of `quintet init` as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from quintet_publish.init.guess import Guess

__all__ = ["guesses_view"]

LONGEST = 60


def guesses_view(guesses: Sequence[Guess]) -> Table:
    """A row for each guess: its number, what it is about, the value, the reason."""
    table = Table("", "what", "guess", "reason")
    for number, guess in enumerate(guesses, 1):
        table.add_row(
            str(number), escape(guess.what), escape(_shown(guess.value)), escape(guess.reason)
        )
    return table


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."
