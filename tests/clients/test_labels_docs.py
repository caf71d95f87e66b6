"""The requests in docs/labels.md, run against the local AWS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kits.local_aws import LocalAws

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/labels.md").read_text()


@pytest.fixture(scope="module")
def quintet(local_aws: LocalAws) -> tuple[str, ...]:
    """The command's words, with the example model published."""
    command = str(Path(sys.executable).with_name("quintet"))
    state = ("--state", str(local_aws.state))
    subprocess.run(
        [command, "publish", str(ROOT / "models/fraud"), *state], check=True, capture_output=True
    )
    return command, *state


def test_curl_gets_what_is_shown(local_aws: LocalAws, quintet: tuple[str, ...]) -> None:
    (request,) = re.findall(r"\$ (curl .*?\}\]\}')\n(.*?)\n```", TEXT, re.DOTALL)
    command, shown = request
    environment = {"API": local_aws.api_url}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == json.loads(shown)


def test_the_commands_run(quintet: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "outcomes.csv").write_text("id,label,time\norder-1,kept,2026-01-31T09:30:00Z\n")
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))
    lines = [line.partition("#")[0].split() for line in blocks.splitlines() if line]
    assert [line[:2] for line in lines] == [["quintet", "labels"], *[["quintet", "quality"]] * 3]
    for _, *words in lines:
        command, *state = quintet
        done = subprocess.run(
            [command, *words, *state], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
