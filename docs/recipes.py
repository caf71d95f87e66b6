"""The training scripts of recipes: docs/cookbook."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["COOKBOOK", "training"]

COOKBOOK = Path(__file__).with_name("cookbook")
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def training(page: Path) -> str | None:
    """The Python that a recipe says to save as train.py; None if it has none."""
    found = _PYTHON.search(page.read_text(encoding="utf-8"))
    return found[1] if found else None
