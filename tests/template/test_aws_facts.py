"""docs/aws.md: every fact has a source, and a test that holds Quintet to it."""

from __future__ import annotations

import ast
import re

import pytest
from tests.kits.aws import ROOT

PAGE = ROOT / "docs/aws.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Fact ")
]


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_a_fact_has_a_source_and_a_test(row: list[str]) -> None:
    fact, source, test = row
    assert fact
    assert re.search(r"https://(docs\.aws\.amazon\.com|github\.com)/", source)
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", test)
    assert named
    for path, name in named:
        assert name in functions(path), f"{path} has no {name}"
