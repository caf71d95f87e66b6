"""A failed command's last line is a command that mends it: each is run as printed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kits.local_aws import FREE_PORTS, LocalAws

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Bucket:
    Type: AWS::S3::Bucket
"""
TRY = "try: "


class Terminal:
    """A shell in a folder, with the command on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**os.environ, "PATH": paths, "HOME": str(folder)}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line as it would be pasted."""
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def mend(self, line: str, why: str) -> str:
        """Run a line that fails with a reason, then what its last line says; returns that."""
        failed = self.run(line)
        told = failed.stderr.splitlines()
        assert failed.returncode != 0, failed.stdout
        assert why in failed.stderr
        assert told[-1].startswith(TRY), failed.stderr
        command = told[-1].removeprefix(TRY)
        ran = self.run(command)
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
        return command


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    folder = tmp_path / "a folder of Zoë"
    folder.mkdir()
    return Terminal(folder)


def test_a_mistaken_name_and_a_mistaken_option(terminal: Terminal, local_aws: LocalAws) -> None:
    package = terminal.folder / "my texts"
    shutil.copytree(ROOT / "models/tickets", package)
    contract = (package / "model.yaml").read_text()
    (package / "model.yaml").write_text(contract.replace("name: tickets", "name: mislaid-texts"))
    at = f"--state {local_aws.state}"
    assert terminal.run(f"quintet publish 'my texts' {at}").returncode == 0
    assert terminal.mend(f"quintet versions mislaidtexts {at}", "one published on stage local") == (
        f"quintet versions mislaid-texts {at}"
    )
    assert terminal.mend(f"quintet versions 0x {at}", "one published on stage local") == (
        f"quintet models {at}"
    )
    terminal.mend(f"quintet models --staet {local_aws.state}", "No such option")
    terminal.mend(f"quintet predict mislaid-texts {at}", "Missing option '--records'")
    terminal.mend(f"quintet runs show mislaid-texts {at}", "no file was dropped for mislaid-texts")


def test_a_package_that_is_in_the_way(terminal: Terminal) -> None:
    shutil.copy(ROOT / "models/churn/model.onnx", terminal.folder / "churn.onnx")
    (terminal.folder / "churn").mkdir()
    (terminal.folder / "churn" / "mine.txt").touch()
    sample = ROOT / "models/churn/data/customers.csv"
    rows = sample.read_text(encoding="utf-8").splitlines()[:50]
    (terminal.folder / "rows.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    mended = terminal.mend("quintet init churn.onnx rows.csv --yes", "a folder that is empty")
    assert mended == "quintet init churn.onnx rows.csv --yes --out churn-2"
    assert (terminal.folder / "churn-2/model.yaml").exists()


def test_a_local_aws_that_runs_or_whose_port_is_taken(terminal: Terminal) -> None:
    (terminal.folder / "template.yaml").write_text(TEMPLATE)
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            mended = terminal.mend(
                f"quintet up --detach --port {port} --api-port 0", f"port {port} is taken"
            )
            assert mended == "quintet up --detach --port 0 --api-port 0"
        again = f"quintet up --detach {' '.join(FREE_PORTS)} --strict"
        assert terminal.mend(again, "runs from .quintet already") == "quintet down"
    finally:
        terminal.run("quintet down")


def test_a_template_or_a_fault_plan_that_is_wrong_is_mended_and_served(terminal: Terminal) -> None:
    ports = " ".join(FREE_PORTS)
    template, plan = terminal.folder / "my stack.yaml", terminal.folder / "plan.yaml"
    template.write_text("Resources: none\n")
    plan.write_text("duplicates: 2\n")
    line = f"quintet up --detach {ports} --no-console --template 'my stack.yaml' --faults plan.yaml"
    try:
        for path, why, content in (
            (plan, "duplicates: expected a share from 0 to 1", "duplicates: 0.5\n"),
            (template, "not a template, it has no Resources", TEMPLATE),
        ):
            failed = terminal.run(line)
            assert why in failed.stderr
            assert failed.stderr.endswith(f"{TRY}{line}\n")
            path.write_text(content)
        missing = line.replace("plan.yaml", "plam.yaml")
        assert terminal.mend(missing, "do you mean plan.yaml?") == line
    finally:
        terminal.run("quintet down")
