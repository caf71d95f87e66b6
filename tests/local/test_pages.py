"""Every page's commands, run as written in a folder like a clone, print what the page shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.not_run import reason
from tests.kits.local_aws import ROOT, start_local_aws
from tests.kits.pages import COMMANDS, Block, blocks, missing, pages, prelude, run

INDEX = ROOT / "docs/README.md"


def to_run(page: Path) -> list[Block]:
    """The blocks of a page that this test runs."""
    found = [] if page == INDEX else blocks(page)
    return [one for one in found if one.language in COMMANDS and reason(one) is None]


PAGES = [page for page in pages() if to_run(page)]


@pytest.fixture
def api_url(tmp_path: Path) -> Iterator[str]:
    """The API of an empty local AWS, of the folder in which the page is followed."""
    parameters = {"StreamWindowSeconds": "5"}  # pages wait for windows to close
    local = start_local_aws(tmp_path / ".quintet", parameters=parameters)
    yield local.api_url
    if local.process.poll() is None:
        local.stop()
    else:  # the page has stopped it, and may have started another
        quintet = str(Path(sys.executable).with_name("quintet"))
        command = [quintet, "down", "--state", str(local.state)]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_works_as_written(page: Path, tmp_path: Path, api_url: str) -> None:
    for block, printed in run([*prelude(), *to_run(page)], tmp_path, api_url):
        assert missing(block.shown, printed) == [], f"{block.name}\n{printed}"
