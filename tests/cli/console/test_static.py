"""The files that the console sends to browsers: few, small, and those of their projects."""

from __future__ import annotations

import hashlib
import re

import pytest

from quintet_cli.console.rendering import STATIC

MOST_BYTES = 250_000
#: files of other projects, with the digests of npm's packages htmx.org, uplot and @picocss/pico
VENDORED = {
    "htmx.min.js": (
        "htmx.org 4.0.1",
        "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    ),
    "uPlot.iife.min.js": (
        "uplot 1.6.32",
        "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    ),
    "uPlot.min.css": (
        "uplot 1.6.32",
        "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    ),
    "pico.min.css": (
        "@picocss/pico 2.1.1",
        "fbc9a63fc9fc9f72d12fd7fc9806e11fa9f77ae4f9cad146b27003a1119ba3db",
    ),
}
OWN = {"console.css", "console.js", "LICENSES.txt"}


def test_they_are_few_and_small() -> None:
    assert {path.name for path in STATIC.iterdir()} == {*VENDORED, *OWN}
    assert sum(path.stat().st_size for path in STATIC.iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("name", VENDORED)
def test_other_projects_files_are_theirs_and_their_licences_are_beside_them(name: str) -> None:
    project, digest = VENDORED[name]
    assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest
    heads = re.findall(r"^(.*): (\S+ \S+)$", (STATIC / "LICENSES.txt").read_text(), re.M)
    assert project in {project for files, project in heads if name in files.split(", ")}


def test_no_page_asks_another_server_for_anything() -> None:
    templates = (STATIC.parent / "templates").rglob("*.html")
    named = [
        address
        for path in templates
        for address in re.findall(r'(?:src|href)="([^"]*)"', path.read_text())
    ]
    assert named
    assert [one for one in named if not one.startswith(("/", "#", "data:,"))] == []
