"""docs/upgrade.md: its commands, run as written, and what it says that stays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from docs.cast import project_links
from tests.kits.local_aws import ROOT

from quintet_local import template

PAGE = (ROOT / "docs/upgrade.md").read_text(encoding="utf-8")
FREE_PORTS = " --port 0 --api-port 0"


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]


def run(script: str, folder: Path) -> str:
    """What shell lines print in a folder; the local AWS takes free ports."""
    done = subprocess.run(
        ["bash", "-euc", script.replace("up --detach", f"up --detach{FREE_PORTS}")],
        cwd=folder,
        env={"HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_models_outlive_a_restart_and_uninstalling_leaves_nothing(tmp_path: Path) -> None:
    project_links(tmp_path)
    before = set(tmp_path.iterdir())
    (restart,) = re.findall(r"```bash\n(.*?)```", section("What the local AWS keeps"), re.S)
    (remove,) = re.findall(r"```bash\n(.*?)```", section("Uninstall"), re.S)
    try:
        run("quintet up --detach && quintet publish models/churn", tmp_path)
        assert re.search(r"\bchurn\b", run(restart, tmp_path))
        assert {path.name for path in set(tmp_path.iterdir()) - before} == {".quintet"}
        run(remove, tmp_path)
    finally:
        run("quintet down", tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_what_stays_after_another_deletion_is_what_the_template_keeps() -> None:
    kept = {
        name
        for name, resource in template.read(ROOT / "template.yaml")["Resources"].items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }
    table = section("If the stack was deleted by other means")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == kept
