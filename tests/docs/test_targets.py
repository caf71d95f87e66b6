"""docs/targets.md: a cell is a test that exists, in its column's folder, or says there is none."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/targets.md").read_text(encoding="utf-8")
#: the columns, and the folders below tests/ of which their tests are
FOLDERS = {
    "local AWS": "local",
    "emulator": "built",
    "sam local": "sam_local",
    "LocalStack": "localstack",
    "AWS": "",
}
NOTHING = {"not honoured", "untested"}


def rows() -> list[list[str]]:
    """The rows of all tables, without their heads."""
    lines = [line for line in TEXT.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


HEADS = [row for row in rows() if row[-1] == "AWS"]
CELLS = [
    (row[0], column, cell)
    for row in rows()
    if row not in HEADS
    for column, cell in zip(FOLDERS, row[1:], strict=True)
]


@cache
def names_in(path: Path) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_table_has_the_five_places() -> None:
    assert {tuple(head[1:]) for head in HEADS} == {tuple(FOLDERS)}
    assert len(HEADS) == TEXT.count("\n## ")
    assert len({behaviour for behaviour, _, _ in CELLS}) >= 30


@pytest.mark.parametrize(("behaviour", "column", "cell"), CELLS)
def test_a_cell_names_tests_that_exist_or_says_that_there_are_none(
    behaviour: str, column: str, cell: str
) -> None:
    if cell in NOTHING:
        return
    for name in cell.split(", "):
        found = re.fullmatch(r"`(\w+)/(test_\w+\.py)::(test_\w+)`", name)
        assert found is not None, f"{behaviour}, {column}: {cell}"
        folder, file, test = found.groups()
        assert folder == FOLDERS[column]
        assert test in names_in(ROOT / "tests" / folder / file)


def test_nothing_is_claimed_of_aws() -> None:
    assert {cell for _, column, cell in CELLS if column == "AWS"} == {"untested"}
