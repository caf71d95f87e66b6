"""The README's commands, run as written but for the addresses."""

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


def blocks(heading: str) -> list[str]:
    """The shell code under a heading of the README."""
    text = (ROOT / "README.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```bash\n(.*?)```", section, re.S)


@pytest.fixture
def checkout(local_aws: LocalAws, tmp_path: Path) -> Path:
    """A folder where the default state is that of the tests' local AWS."""
    (tmp_path / ".quintet").symlink_to(local_aws.state)
    (tmp_path / "models").symlink_to(ROOT / "models")
    return tmp_path


def test_the_commands_under_use_it(local_aws: LocalAws, checkout: Path) -> None:
    start, ask, later, watch, score = blocks("Use it")
    lines = start.splitlines()
    assert lines[0] == "source .venv/bin/activate"
    assert lines[1].startswith("quintet up --detach ")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(script: str) -> str:
        script = script.replace("http://127.0.0.1:4567", local_aws.api_url)
        return subprocess.run(
            ["bash", "-euc", script],
            cwd=checkout,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "tickets version 1" in run("\n".join(lines[2:]))
    decoder = json.JSONDecoder()
    answers = run(ask)
    prediction, end = decoder.raw_decode(answers)
    metadata, _ = decoder.raw_decode(answers[end:])
    assert prediction["predictions"][0]["label"] == "Bottoms"
    assert (metadata["name"], metadata["platform"]) == ("tickets", "onnx_onnxv1")
    accepted = run(later)
    job, end = decoder.raw_decode(accepted)
    assert (job["state"], job["model"]) == ("ACCEPTED", "tickets")
    assert job["id"] in accepted[end:]
    watched = run(watch)
    assert "3,888 records of readings.jsonl sent to sensor" in watched
    assert "sensor v1" in watched
    assert "4,335 rows = 4,335 scored + 0 quarantined" in run(score)
