"""From the wheel to the answer of one's own graph, by the clock: python -m benchmarks.first_answer

Types what a new user types, in a terminal and an empty folder, with an empty cache of packages:
install the wheel, `quintet init`, `up`, `publish`, `predict`. The graph and its sample are those
that the recipe docs/cookbook/scikit-learn.md trains; they and the wheel are made before the clock
starts. `--clone` begins with `make setup` in a clean clone instead. Prints the seconds of each
line; `--write` also fills the table of docs/first-answer.md and, without `--clone`, draws
docs/first-answer.svg. The installation depends on the network; the rest on the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.cast import Line, draw, record, typed
from docs.generate import fill
from docs.recipes import COOKBOOK, training

__all__ = ["INSTALL", "PAGE", "STEPS", "Step", "main", "run", "write_graph"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/first-answer.md"
CAST = ROOT / "docs/first-answer.svg"
INSTALL = (
    "python3 -m venv .venv && source .venv/bin/activate",
    "pip install --quiet quintet_serving-*.whl",
)
IN_CLONE = ("make setup && source .venv/bin/activate",)
STEPS = (
    "quintet init leavers.onnx customers.csv --label left --yes",
    "quintet up --detach",
    "quintet publish leavers",
    "quintet predict leavers --records leavers/request.json",
)
TITLE = "from the wheel to an answer, with the time; the long waits are cut"
LONGEST_WAIT = 6.0


@dataclass(frozen=True)
class Step:
    """A line that was typed, and the seconds until it ended."""

    command: str
    seconds: float


def write_graph(folder: Path) -> None:
    """Train the recipe's graph and write it into a folder, with its sample."""
    code = training(COOKBOOK / "scikit-learn.md")
    assert code is not None
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def run(
    folder: Path, commands: Sequence[str], search: str, **environ: str
) -> tuple[list[Step], list[Line]]:
    """Type lines one after the other in a folder: how long each took, and what was seen.

    Args:
        folder: where they run; its .venv, if there is one, is active.
        commands: lines for a shell.
        search: the PATH.
        environ: added to the environment.

    Raises:
        RuntimeError: one failed; the text is what it printed.
    """
    began = time.monotonic()
    steps, lines = [], []
    path = {"PATH": f"{folder / '.venv/bin'}{os.pathsep}{search}", "HOME": str(folder), **environ}
    for command in commands:
        at = time.monotonic()
        lines.append(typed(command, at - began, clock=True))
        lines += record(["bash", "-euc", command], folder, path, began)
        steps.append(Step(command, time.monotonic() - at))
    lines.append(typed("", time.monotonic() - began, clock=True))
    return steps, lines


def build_wheel(folder: Path) -> None:
    """Build the wheel of this clone into a folder."""
    folder.mkdir()
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "-o", folder, ROOT], check=True)
    (folder / ".gitignore").unlink(missing_ok=True)


def table(steps: Sequence[Step]) -> list[str]:
    """The page's table, and its last line."""
    rows = [f"| `{step.command}` | {step.seconds:.1f} |" for step in steps]
    whole = sum(step.seconds for step in steps)
    return ["", "| Typed | Seconds |", "|---|---|", *rows, f"| together | **{whole:.1f}** |"]


def main() -> int:
    """Run it; print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/first-answer.*")
    parser.add_argument("--clone", action="store_true", help="from a clean clone, not the wheel")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "new")
        if given.clone:
            subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        else:
            build_wheel(folder)
        write_graph(folder)
        search = f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.defpath}"
        # pip's warnings are about this machine's indexes; nothing that was fetched before helps
        installers = {"PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        installers |= {"PIP_QUIET": "3", "UV_NO_CACHE": "1"}
        install = IN_CLONE if given.clone else INSTALL
        try:
            steps, lines = run(folder, (*install, *STEPS), search, **installers)
        finally:
            if shutil.which("quintet", path=str(folder / ".venv/bin")):
                stop = [str(folder / ".venv/bin/quintet"), "down"]
                subprocess.run(stop, cwd=folder, check=True, capture_output=True)
    print("\n".join(table(steps)))
    if given.write:
        mark = "from a clone" if given.clone else "first answer"
        page = fill(PAGE.read_text(encoding="utf-8"), {mark: table(steps)})
        PAGE.write_text(page, encoding="utf-8")
        if not given.clone:
            CAST.write_text(draw(lines, TITLE, longest=LONGEST_WAIT), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
