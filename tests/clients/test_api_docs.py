"""The code in docs/api.md, run against the local AWS."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kits.local_aws import LocalAws

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/api.md").read_text()


@pytest.fixture(scope="module")
def bare(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment after the page's first block, from one that has nothing of AWS.

    The local AWS of the tests runs already, and keeps its features for the tests of others.
    """
    folder = tmp_path_factory.mktemp("api-docs")
    (folder / ".quintet").symlink_to(local_aws.state)
    (folder / "models").symlink_to(ROOT / "models")
    lines = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()
    assert lines[0] == "quintet up --detach"
    assert lines[2].startswith("quintet features load models/fraud/")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    before = {"PATH": path, "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-euc", "\n".join([lines[1], lines[3], "echo; env -0"])],
        cwd=folder,
        env=before,
        capture_output=True,
        text=True,
        check=True,
    )
    variables = done.stdout.rpartition("\n\n")[2].strip("\0").split("\0")
    return dict(variable.split("=", 1) for variable in variables)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_the_python_runs(bare: dict[str, str], code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True
    )
    assert "0.9" in done.stdout  # a first order is most likely kept


def test_curl_gets_what_is_shown(bare: dict[str, str]) -> None:
    command, shown = re.findall(r"\$ (curl .*?\}\]\}')\n(.*?)```", TEXT, re.DOTALL)[0]
    done = subprocess.run(["bash", "-c", command], env=bare, capture_output=True, check=True)
    answer = json.loads(done.stdout)
    (prediction,) = answer["predictions"]
    for name in (*answer, *prediction, *prediction["probabilities"]):
        assert f'"{name}":' in shown
