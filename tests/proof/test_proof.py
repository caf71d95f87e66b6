"""The page of the proof is not old, and a part that fails or says nothing fails the whole."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.kits.aws import ROOT
from tests.proof.__main__ import Result, last_line, page, run
from tests.proof.parts import PARTS, Part

#: what the proof covers, and how many commits to it may be newer than the page
COVERED = ("functions", "layers/quintet", "statemachines", "template.yaml")
BOUND = 100


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def newer(commit: str) -> int:
    """The commits to what is covered since one.

    Raises:
        AssertionError: the history has not that commit.
    """
    known = git("merge-base", "--is-ancestor", commit, "HEAD")
    assert known.returncode == 0, "docs/proof.md is of a commit that is not here: make proof"
    return len(git("log", "--format=%h", f"{commit}..HEAD", "--", *COVERED).stdout.split())


def test_the_page_is_of_a_commit_that_is_not_long_ago() -> None:
    (commit,) = re.findall(r"^Commit: `([0-9a-f]{40})`", (ROOT / "docs/proof.md").read_text(), re.M)
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("this is no clone with a history")
    assert newer(commit) <= BOUND, f"over {BOUND} commits since docs/proof.md: make proof"


def test_a_commit_that_is_not_here_is_refused() -> None:
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("this is no clone with a history")
    with pytest.raises(AssertionError, match="make proof"):
        newer("0" * 40)


def test_the_page_has_every_part() -> None:
    text = (ROOT / "docs/proof.md").read_text()
    assert [part.module for part in PARTS if f"`python -m {part.module} " not in text] == []


@pytest.mark.parametrize("output", ["", "all is well\n", "[1]\n", '{"name": "x"}\n'])
def test_a_part_that_does_not_tell_its_failures_has_failed(output: str) -> None:
    assert last_line(output)["failures"] == 1


def test_a_part_that_cannot_run_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    part = Part("It holds", "tests.no_such_part", ("--few",), ("--many",))
    found = run(part, part.quick)
    assert (found.command, found.told["failures"]) == ("python -m tests.no_such_part --few", 1)


def test_a_row_of_the_page() -> None:
    told = {"name": "x", "cases": 1200, "failures": 0, "seed": 20261201, "reach": {"a": 3, "b": 9}}
    lines = page([Result(PARTS[0], ("--seeds", "5"), told, 61.4)], "c" * 40)
    assert lines[8] == (
        f"| {PARTS[0].claim} | `python -m {PARTS[0].module} --seeds 5` | cases: 1,200, "
        "seed: 20261201, reach: 2, the least 3 times | 0 | 61 |"
    )
