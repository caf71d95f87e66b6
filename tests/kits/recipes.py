"""Recipes that are followed: typed one after the other into one shell in an empty folder, their
commands print what they show.

Where a recipe has a script to save as train.py, it is there. A folder called as the page has what a
script made that needs too large packages: its files are there, too.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from docs.recipes import COOKBOOK, training
from tests.kits.local_aws import ROOT, LocalAws

__all__ = ["follow_recipe", "recipes_of", "unlike"]

#: recipes of a model in use; any other is of a `model` that is made and served
SUBJECTS = {
    "rollouts": {"rollouts"},
    "operations": {"backfill", "callbacks", "drift", "iot"},
}
#: commands, and the lines that they print among others, in this order; ... is any text of a line
STEP = re.compile(r"```bash\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
#: the port of a recipe's own server, which another run of the tests may have taken
PORT = "8099"
END = "the end of a step"
SECONDS = 600


def typed(scripts: list[str], folder: Path) -> list[str]:
    """Run scripts in one shell, each to its end; returns what each printed.

    Raises:
        AssertionError: one failed, or all together took too long.
    """
    shell = subprocess.Popen(
        ["bash", "-euc", f"echo {END}\n".join(scripts)],
        cwd=folder,
        env={"HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.defpath}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = shell.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        printed, errors = shell.communicate()
    with suppress(ProcessLookupError):  # what a failed recipe left in the background
        os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, printed + errors
    return printed.split(f"{END}\n")


def unlike(shown: str, printed: str) -> list[str]:
    """The lines that are shown from the first one on that is not printed after those before it."""
    lines = shown.splitlines()
    for number, line in enumerate(lines):
        wanted = ".*".join(map(re.escape, line.split("...")))
        if (found := re.search(wanted, printed)) is None:
            return lines[number:]
        printed = printed[found.end() :]
    return []


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def recipes_of(subject: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each `page` of a subject, or of `model`."""
    others = set[str]().union(*SUBJECTS.values())
    found = [
        page
        for page in sorted(COOKBOOK.glob("*.md"))
        if (page.stem in SUBJECTS[subject] if subject in SUBJECTS else page.stem not in others)
    ]
    assert found, f"no recipe of {subject}"
    return pytest.mark.parametrize("page", found, ids=lambda page: page.stem)


def follow_recipe(page: Path, local_aws: LocalAws, folder: Path) -> None:
    """Type a recipe's steps.

    Raises:
        AssertionError: a step failed, or did not print what the recipe shows.
    """
    (folder / ".quintet").symlink_to(local_aws.state)
    (folder / "models").symlink_to(ROOT / "models")
    if code := training(page):
        (folder / "train.py").write_text(code, encoding="utf-8")
    if (made := page.with_suffix("")).is_dir():
        shutil.copytree(made, folder, dirs_exist_ok=True)
    text = page.read_text(encoding="utf-8").replace(PORT, free_port())
    steps = STEP.findall(text)
    assert len(steps) == text.count("```bash") > 0
    printed = typed([script for script, _ in steps], folder)
    for (_, shown), told in zip(steps, printed, strict=True):
        assert unlike(shown, told) == [], told
