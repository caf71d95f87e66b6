"""`quintet doctor`'s checks of the machine and of a stage's settings, each with what mends it."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from quintet_cli import machine
from quintet_cli.doctor import CHECKS, HINTS, Finding
from quintet_cli.machine import differing, machine_checks, stage_checks
from quintet_cli.project import VERSION_FILE
from quintet_local.template import read

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def by_name(*findings: Finding) -> dict[str, Finding]:
    return {found.check: found for found in findings}


def checked(folder: Path, **options: bool) -> dict[str, Finding]:
    asked = {"runs_here": False, "builds": True} | options
    return by_name(*machine_checks(folder, folder / ".quintet", **asked))


def mends(found: Finding) -> bool:
    """Whether it failed, and ends with a command."""
    return not found.ok and re.search(r"`[^`]+`$", found.saw) is not None


def test_what_is_missing_ends_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / VERSION_FILE).write_text("0.0.1\n", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10, 9, 1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(machine, "PORTS", taken.getsockname()[1:2])
        found = checked(tmp_path)
    assert list(found) == ["versions", "ports", "disk", "sam build"]
    assert "this folder was written by quintet 0.0.1" in found["versions"].saw
    assert [one.check for one in found.values() if not mends(one)] == []
    assert not any(one.passes for one in found.values())


def test_a_stage_that_runs_here_has_its_ports_and_needs_no_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = checked(tmp_path, runs_here=True, builds=False)
    assert list(found) == ["versions", "disk", "sam build"]
    assert mends(found["sam build"]) and all(one.passes for one in found.values())


def test_a_shim_without_the_version_is_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mends(checked(tmp_path)["sam build"])
    shim.write_text("#!/bin/sh\necho Python 3.13.9\n", encoding="utf-8")
    assert checked(tmp_path)["sam build"].saw == f"Python 3.13.9 at {shim}"


class Aws:
    """STS and CloudFormation, as far as these checks ask."""

    def __init__(self, body: Any = None, error: Exception | None = None) -> None:
        self._body = body
        self._error = error

    def __call__(self, service: str) -> Any:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        if self._error is not None:
            raise self._error
        return {"Arn": "arn:aws:iam::1:user/me"}

    def get_template(self, **asked: str) -> dict[str, Any]:
        assert asked == {"StackName": "quintet-dev", "TemplateStage": "Original"}
        return {"TemplateBody": self._body}


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "GetCallerIdentity"),
    ],
)
def test_without_credentials_nothing_else_is_asked(error: Exception) -> None:
    (found,) = stage_checks(Aws(error=error), "dev", TEMPLATE)
    assert found.check == "credentials" and mends(found)


def drifted(body: Any) -> Finding:
    return by_name(*stage_checks(Aws(body), "dev", TEMPLATE))["template"]


@pytest.fixture(autouse=True)
def _quotas_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_quotas", lambda stage: "fine")


def test_a_stage_of_this_template_is_told_from_another() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    packaged = text.replace("CodeUri: functions/predict", "CodeUri: s3://bucket/1234")
    assert packaged != text
    assert drifted(packaged).saw == f"quintet-dev is as {TEMPLATE}"
    other = packaged.replace("Default: 1769", "Default: 1024", 1)
    found = drifted(other)
    assert mends(found) and "Parameters.PredictMemoryMb; `make deploy STAGE=dev`" in found.saw
    as_json: dict[str, Any] = read(TEMPLATE)
    del as_json["Resources"]["Sweep"]
    assert f"quintet-dev is not as {TEMPLATE}: Sweep; " in drifted(as_json).saw


def test_what_differs_is_named_without_what_packaging_writes() -> None:
    one = {"Resources": {"A": {"Type": "T", "Properties": {"CodeUri": "a", "X": [1]}}}}
    same = {
        "Resources": {"A": {"Type": "T", "Properties": {"CodeUri": "s3", "X": [1]}, "Metadata": 1}}
    }
    other = {"Resources": {"A": {"Type": "T", "Properties": {"X": [2]}}, "B": {}}, "Outputs": {}}
    assert differing(one, same) == []
    assert differing(one, other) == ["Outputs", "A", "B"]


def test_each_pattern_has_a_command_that_shows_why_it_failed() -> None:
    names: list[str] = [name for name, _, _ in CHECKS]
    assert set(HINTS) == {*names, "clean up"}
