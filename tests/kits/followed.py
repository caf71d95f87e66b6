"""Pages that are followed: run as written in a folder like a clone, they print what they show.

A subject's pages are a file of tests, so that no worker has them all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.not_run import reason
from tests.kits.local_aws import ROOT
from tests.kits.pages import COMMANDS, Block, blocks, missing, pages, prelude, run

__all__ = ["follow", "pages_of"]

INDEX = ROOT / "docs/README.md"
#: how the names of a subject's pages begin; any other page is of `the rest`
SUBJECTS = {
    "first model": ("docs/first-model.md",),
    "batch": ("docs/batch",),
    "rollouts": ("docs/rollout",),
    "streams": ("docs/streaming.md", "docs/replay.md", "models/sensor/"),
}


def pages_of(subject: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each `page` of a subject, or of `the rest`."""
    found = [page for page in pages() if _subject(page) == subject and _to_run(page)]
    assert found, f"no page of {subject} is run"
    return pytest.mark.parametrize("page", found, ids=_name)


def follow(page: Path, folder: Path, api_url: str) -> None:
    """Run a page's blocks; the local AWS of the folder serves the API.

    Raises:
        AssertionError: a block failed, or did not print what the page shows.
    """
    for block, printed in run([*prelude(), *_to_run(page)], folder, api_url):
        assert missing(block.shown, printed) == [], f"{block.name}\n{printed}"


def _to_run(page: Path) -> list[Block]:
    found = [] if page == INDEX else blocks(page)
    return [one for one in found if one.language in COMMANDS and reason(one) is None]


def _subject(page: Path) -> str:
    return next(
        (name for name, begins in SUBJECTS.items() if _name(page).startswith(begins)), "the rest"
    )


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))
