"""docs/cookbook: each recipe's commands, run as written in an empty folder, print what it shows.

Where a recipe has a script to save as train.py, it is there. A folder called as the page has what a
script made that needs too large packages: its files are there, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.recipes import COOKBOOK, training
from tests.kits.local_aws import ROOT, LocalAws

RECIPES = sorted(COOKBOOK.glob("*.md"))
#: commands, and the lines that they print among others
STEP = re.compile(r"```bash\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_a_recipe_prints_what_it_shows(page: Path, local_aws: LocalAws, tmp_path: Path) -> None:
    (tmp_path / ".quintet").symlink_to(local_aws.state)
    (tmp_path / "models").symlink_to(ROOT / "models")
    if code := training(page):
        (tmp_path / "train.py").write_text(code, encoding="utf-8")
    if (made := page.with_suffix("")).is_dir():
        shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    text = page.read_text(encoding="utf-8")
    steps = STEP.findall(text)
    assert len(steps) == text.count("```bash") > 0
    for script, lines in steps:
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.defpath}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in lines.splitlines() if line not in done.stdout] == []
