"""The lines of docs/first-answer.md after the installation, from the installed wheel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from benchmarks.first_answer import PAGE, STEPS, run, write_graph
from rich.text import Text

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".venv-wheel/bin"
FREE_PORTS = " --port 0 --api-port 0"


def test_they_serve_a_graph_in_an_empty_folder(tmp_path: Path) -> None:
    write_graph(tmp_path)
    search = f"{INSTALLED}{os.pathsep}{os.defpath}"
    lines = [line + FREE_PORTS * line.startswith("quintet up") for line in STEPS]
    try:
        steps, printed = run(tmp_path, lines, search)
    finally:
        subprocess.run([INSTALLED / "quintet", "down"], cwd=tmp_path, check=True)
    assert [step.command for step in steps] == lines
    shown = Text.from_ansi("\n".join(line.text for line in printed)).plain
    assert "live: version 1 answers requests" in shown
    assert '"output_label": "stays"' in shown
    assert all(f"| `{line}` |" in PAGE.read_text(encoding="utf-8") for line in STEPS)
