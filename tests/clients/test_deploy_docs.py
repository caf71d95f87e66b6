"""docs/deploy.md: its commands exist, and what can be run without an AWS account is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.kits.local_aws import LocalAws

from quintet_cli.app import loaded
from quintet_local import template

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
#: shell code, in lists too, with lines that go on on the next one joined
SHELL = re.findall(r"```bash\n(.*?)```", TEXT.replace("\\\n", ""), re.DOTALL)
LINES = [line.strip() for block in SHELL for line in block.splitlines()]
COMMANDS = sorted({line for line in LINES if line.startswith("quintet ")})


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """The parameters of a command line of `quintet`, read by the command itself.

    Raises:
        KeyError: no such command.
        click.UsageError: no such argument or option.
    """
    command: Any = typer.main.get_group(loaded(arguments[0]))
    name, rest = "quintet", list(arguments)
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    found: dict[str, Any] = command.make_context(name, rest).params
    return found


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_quintet_takes(line: str) -> None:
    found = parsed(shlex.split(line)[1:])
    assert found.get("stage", "dev") in {"dev", "prod"}  # this page is about deployed ones
    for path in re.findall(r"models/\S+", line):
        assert (ROOT / path).exists()


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) >= 8
    assert "quintet destroy --stage dev" in COMMANDS


def test_targets_parameters_and_outputs_are_there() -> None:
    source = template.read(ROOT / "template.yaml")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z-]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    named = set(re.findall(r"`([A-Z][A-Za-z]+)(?:=[^`]*)?`", TEXT))
    known = {*source["Parameters"], *source["Outputs"], *source["Resources"]}
    iam = {
        "ConditionCheckItem",
        "PutItem",
        "UpdateItem",
        "Query",
        "Scan",
        "StartExecution",
        "Retain",
    }
    assert named - known - iam == set()


@pytest.fixture(scope="module")
def environ(local_aws: LocalAws) -> dict[str, str]:
    """Credentials, region and the API's address, with the model behind it."""
    command = str(Path(sys.executable).with_name("quintet"))
    publish = [command, "publish", str(ROOT / "models/tickets"), "--state", str(local_aws.state)]
    subprocess.run(publish, check=True, stdout=subprocess.DEVNULL)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    region = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}
    return {**os.environ, **keys, **region, "API_URL": local_aws.api_url}


def test_a_signed_request_by_curl_is_answered(environ: dict[str, str]) -> None:
    (block,) = (block for block in SHELL if block.startswith("curl "))
    done = subprocess.run(["bash", "-euc", block], env=environ, capture_output=True, check=True)
    assert b'"label":"Bottoms"' in done.stdout


def test_a_signed_request_by_python_is_answered(environ: dict[str, str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "Bottoms\n"
