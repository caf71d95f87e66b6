"""Requests to the local AWS spend a model's error budget, which `quintet slo` shows."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

from tests.kits.local_aws import LocalAws, eventually
from tests.kits.packages import package
from typer.testing import CliRunner

from quintet_cli.app import app


def quintet(*words: str) -> list[str]:
    """The lines that a command prints."""
    ran = CliRunner().invoke(app, words, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output.splitlines()


def test_the_budget_shows_the_requests_that_were_answered(
    local_aws: LocalAws, tmp_path: Path
) -> None:
    state = str(local_aws.state)
    slow = "slo: {p95_ms: 0.000001, availability: 0.99}\n"
    quintet("publish", str(package(tmp_path / "p", name="budgeted", extra=slow)), "--state", state)
    body = json.dumps({"records": [{"a": 1.0, "b": 2.0}]}).encode()
    for path in ("/models/budgeted/predict", "/models/budgeted/versions/1/predict"):
        with urlopen(Request(local_aws.api_url + path, body), timeout=30) as answer:
            assert answer.status == 200

    def row() -> list[str] | None:
        lines = [line.split() for line in quintet("slo", "--state", state)]
        found = next(words for words in lines if words[:1] == ["budgeted"])
        return found if found[1] == "2" else None

    assert "stage local" in quintet("slo", "--state", state)
    # two requests, none failed; both were slow, where one in twenty may be: 1 - 1 / 0.05
    asked = ["budgeted", "2", "0", "0.99", "100%", "2", "1e-06", "ms", "-1900%"]
    assert eventually(row)[:9] == asked
