"""`quintet init` on the local AWS: from a trained graph and a table to answers, as it prints."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.init_models import by_hand
from benchmarks.init_models.case import Case
from tests.kits.local_aws import ROOT, LocalAws
from tests.kits.schemas import valid

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def run(command: str, folder: Path) -> str:
    """What a shell line prints, in a folder."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(local_aws: LocalAws, tmp_path: Path) -> Path:
    """A folder from which commands reach the local AWS."""
    (tmp_path / ".quintet").symlink_to(local_aws.state)
    return tmp_path


def test_the_readmes_lines_and_those_that_it_prints_serve_the_model(folder: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Your own model in three commands")[1].split("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.S)
    init, publish, predict = (line.partition("#")[0].strip() for line in block.splitlines())
    graph, _ = by_hand.two_by_columns().write(folder)
    graph.rename(folder / "model.onnx")
    made = run(init, folder)
    *_, up, second, third, curl = (line.strip() for line in made.splitlines())
    assert up == "quintet up --detach"  # it runs already
    assert (second, third) == (publish, predict)
    assert "live: version 1 answers requests" in run(publish, folder)
    first, again = (json.loads(run(line, folder)) for line in (predict, curl))
    assert first["predictions"] == again["predictions"]
    assert (first["model"], first["version"]) == ("model", 1)
    golden = json.loads((folder / "model/golden.json").read_text())
    assert [first["predictions"][0]["score"]] == golden["outputs"]["score"][0]
    assert sorted(path.name for path in (folder / "model").iterdir()) == [
        "README.md",
        "golden.json",
        "model.onnx",
        "model.yaml",
        "request.json",
        "train.py",
        "training.csv",
    ]


def test_nothing_is_overwritten_and_json_is_as_its_schema(folder: Path) -> None:
    case = by_hand.without_sample()
    case.write(folder)
    told = valid("quintet init", run(f"quintet init {case.name}.onnx --json", folder))
    assert told["next"][1] == f"quintet publish {case.name}"
    assert told["missing"][0] == "real rows: those of golden.json are random; replace them"
    before = (folder / case.name / "model.yaml").read_bytes()
    again = subprocess.run(
        [BIN / "quintet", "init", f"{case.name}.onnx"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, again.stdout) == (4, "")
    assert "expected a folder that is empty or does not exist" in again.stderr
    # the last line is the command again, into a folder of another name
    assert again.stderr.splitlines()[-1].startswith("try: quintet init ")
    assert again.stderr.endswith(f"{case.name}-2\n")
    assert (folder / case.name / "model.yaml").read_bytes() == before


def test_in_a_terminal_it_asks_for_columns_and_changes_guesses(tmp_path: Path) -> None:
    case = by_hand.opset13()
    records = [{**row, "age": at, "income": 1.5} for at, row in enumerate(case.records)]
    Case("asked", "", case.graph, records, case.feeds).write(tmp_path)
    replies = ["age, c1, none", "age,c1,c2,c3,c4,income", "99 x", "2 {", "3 age in years", ""]
    ours, theirs = pty.openpty()
    command = [str(BIN / "quintet"), "init", "asked.onnx", "sample.csv"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        os.write(ours, "".join(f"{reply}\n" for reply in replies).encode())
        out, err = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, err
    assert b"no column is called none" in err
    assert b"expected a number from 1 to" in err
    assert "features: [age, c1, c2, c3, c4, income]" in (tmp_path / "asked/model.yaml").read_text()
    assert b"quintet publish asked" in out
