"""The pages that no other file has: their commands, run as written, print what the pages show."""

from __future__ import annotations

from pathlib import Path

from tests.kits.followed import follow, pages_of


@pages_of("the rest")
def test_a_page_works_as_written(page: Path, tmp_path: Path, api_url: str) -> None:
    follow(page, tmp_path, api_url)
