"""What `quintet proxy` refuses before it serves."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from quintet_cli.app import loaded
from quintet_cli.stacks import StageError
from quintet_cli.stage import Stage


@pytest.mark.parametrize("auth", ["keys", "jwt"])
def test_a_stage_whose_callers_bring_their_own_keys_has_no_proxy(
    auth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage("prod", "https://api.example/prod", {"ApiAuth": auth})
    monkeypatch.setattr(Stage, "open", lambda name, state: stage)
    found = CliRunner().invoke(loaded("proxy"), ["proxy", "--stage", "prod"])
    assert isinstance(found.exception, StageError)
    assert str(found.exception).startswith(
        f"stage prod takes no signatures (its ApiAuth is {auth})"
    )


@pytest.mark.parametrize("options", [["--batch-ms", "-1"], ["--batch-rows", "1"], ["--port", "x"]])
def test_options_out_of_range_are_usage_errors(options: list[str]) -> None:
    assert CliRunner().invoke(loaded("proxy"), ["proxy", *options]).exit_code == 2
