"""`quintet doctor`: each pattern of a stage once, and nothing left of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.kits.local_aws import ROOT, LocalAws
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_cli.commands.publish import publisher_of
from quintet_cli.doctor import CHECKS, MODEL, Doctor, Finding, report
from quintet_cli.stage import Stage

TICKETS = ROOT / "models/tickets"


def left(local: LocalAws) -> list[str]:
    """Items and objects of the doctor's model."""
    s3, found = local.client("s3"), []
    for name in ("RegistryBucket", "InboxBucket", "ScoresBucket", "StreamBucket"):
        versions = s3.list_object_versions(Bucket=local.outputs[f"{name}Name"])
        both = [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]
        found += [one["Key"] for one in both if MODEL in one["Key"]]
    table = local.client("dynamodb").scan(TableName=local.outputs["RegistryTableName"])
    return found + [item["item"]["S"] for item in table["Items"] if item["model"]["S"] == MODEL]


def test_every_pattern_is_checked_and_nothing_is_left(local_aws: LocalAws, tmp_path: Path) -> None:
    told = tmp_path / "doctor.md"
    words = ["doctor", "--state", str(local_aws.state), "--package", str(TICKETS)]
    ran = CliRunner().invoke(app, [*words, "--report", str(told)])
    assert ran.exit_code == 0, ran.output
    names = [name for name, _, _ in CHECKS]
    found = re.findall(r"^ok +([a-z ]+?) +\d", ran.output, re.M)
    assert found[:2] == ["versions", "disk"]  # the ports are this stage's own
    assert found[-len(names) - 1 :] == [*names, "clean up"]
    written = told.read_text()
    assert written.startswith(f"# quintet doctor: stage local on {local_aws.endpoint_url}, ")
    for line in ("| job | ok |", "DONE, the same scores", "2 rows scored", "batches of records"):
        assert line in written
    assert left(local_aws) == []


def test_a_stage_that_does_not_answer_is_named_and_cleaned_up(local_aws: LocalAws) -> None:
    stage = replace(Stage.open("local", local_aws.state), api_url="http://127.0.0.1:9")
    findings = Doctor(stage, publisher_of(stage), TICKETS, seconds=1).run(lambda _: None)
    assert [(found.check, found.ok) for found in findings] == [
        ("publish", True),
        ("predict", False),
        ("clean up", True),
    ]
    assert "http://127.0.0.1:9/models/quintet-doctor/predict cannot be reached" in findings[1].saw
    assert findings[1].saw.endswith("; `quintet logs Predict`")
    assert left(local_aws) == []


def test_the_rows_that_a_check_shows_are_those_of_the_page() -> None:
    rows = {
        line.split(" | ")[0].strip("| ")
        for line in (ROOT / "docs/targets.md").read_text().splitlines()
        if line.startswith("| ")
    }
    assert {cell for _, cells, _ in CHECKS for cell in cells} <= rows


def test_a_report_names_rows_of_what_succeeded_only() -> None:
    stage = Stage("dev", "https://api", {})
    findings = [
        Finding("job", True, "DONE", 1.26, ("batch size and batching window",)),
        Finding("stream", False, "waited | 300 s", 300.0, ("batches of records",)),
    ]
    moment = datetime(2026, 11, 30, 8, tzinfo=UTC)
    assert report(stage, findings, moment).splitlines() == [
        "# quintet doctor: stage dev on AWS, 2026-11-30T08:00:00Z",
        "",
        "| check | result | seconds | saw | rows of docs/targets.md |",
        "|---|---|---|---|---|",
        "| job | ok | 1.3 | DONE | batch size and batching window |",
        "| stream | failed | 300.0 | waited \\| 300 s |  |",
    ]
