"""Benchmarks answer --help, and write nothing into the repository unless --write says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import MINUTES, WRITES
from benchmarks.reports import options, spread

FOLDER = Path(__file__).parents[2] / "benchmarks"
#: those that are run: what another benchmark runs as its child has no options
PROGRAMS = [
    path
    for path in sorted(FOLDER.glob("*.py"))
    if "__main__" in path.read_text() and path.stem not in ("__main__", "instructions_child")
]


def calls(path: Path, name: str) -> list[ast.Call]:
    """The calls of a function by name."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == name]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_reads_its_options(path: Path) -> None:
    parsers = calls(path, "argparse.ArgumentParser") + calls(path, "options")
    assert parsers, f"{path.name} does not answer --help"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_results_are_written_for_write_alone(path: Path) -> None:
    for call in calls(path, "report"):
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert given["write"].endswith(".write")


def test_the_list_of_all_names_what_exists() -> None:
    names = {path.stem for path in PROGRAMS}
    assert set(MINUTES) <= names
    assert set(MINUTES) >= WRITES
    assert {n for n in MINUTES if calls(FOLDER / f"{n}.py", "report")} == WRITES


def test_help_says_how_long_each_takes() -> None:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in MINUTES)


def test_another_name_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "score_units"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "got score_units" in done.stderr


def test_nothing_is_written_by_default() -> None:
    assert not options("What it measures.", "some").parse_args([]).write


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert spread([3.0, 1.0, 10.0, 2.0, 5.0]) == {"median": 3.0, "min": 1.0, "max": 10.0}
