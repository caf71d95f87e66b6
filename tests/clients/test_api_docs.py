"""The code in docs/api.md, run against the local AWS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kits.local_aws import LocalAws

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/api.md").read_text()


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> str:
    """The API's address, with the example model behind it."""
    command = str(Path(sys.executable).with_name("quintet"))
    folder = str(ROOT / "models/fraud")
    subprocess.run(
        [command, "publish", folder, "--state", str(local_aws.state)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return local_aws.api_url


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_the_python_runs(
    api: str,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    exec(code.replace("127.0.0.1:8080", api.removeprefix("http://")), {"api": api})
    printed = capsys.readouterr().out
    assert "0.9" in printed  # a first order is most likely kept


def test_curl_gets_what_is_shown(api: str) -> None:
    command, shown = re.findall(r"\$ (curl .*?\}\]\}')\n(.*?)```", TEXT, re.DOTALL)[0]
    done = subprocess.run(
        ["bash", "-c", command], env={"API": api}, capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    (prediction,) = answer["predictions"]
    for name in (*answer, *prediction, *prediction["probabilities"]):
        assert f'"{name}":' in shown
