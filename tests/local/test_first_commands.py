"""What a newcomer types first: predict, versions, rollback, logs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.packages import package
from typer.testing import CliRunner

from quintet.errors import BadInput, Conflict, NotFound
from quintet_cli.app import app

MODEL = "first"
RECORD = '{"a": 1.0, "b": 2.0}'


def quintet(local: LocalAws, *words: object) -> str:
    """What the command prints. Raises its error."""
    result = CliRunner().invoke(app, [*map(str, words), "--state", str(local.state)])
    if result.exception:
        raise result.exception
    return re.sub(r"\x1b\[[0-9;]*m", "", result.output)


@pytest.fixture(scope="module")
def local(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """A model of two versions, the first of them live."""
    for version in (1, 2):
        folder = tmp_path_factory.mktemp("package")
        package(folder, name=MODEL, version=version, factor=float(version))
        quintet(local_aws, "publish", folder)
    return local_aws


def test_predict_prints_the_answer_of_the_api(local: LocalAws, tmp_path: Path) -> None:
    live = json.loads(quintet(local, "predict", MODEL, "--records", RECORD))
    assert (live["model"], live["version"], len(live["predictions"])) == (MODEL, 1, 1)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"{RECORD}\n{RECORD}\n")
    pinned = json.loads(quintet(local, "predict", MODEL, "--records", rows, "--version", 2))
    assert (pinned["version"], len(pinned["predictions"])) == (2, 2)


def test_predict_tells_what_is_wrong(local: LocalAws) -> None:
    with pytest.raises(NotFound, match=rf"is it '{MODEL}'\?"):
        quintet(local, "predict", "frist", "--records", RECORD)
    with pytest.raises(NotFound, match="version"):
        quintet(local, "predict", MODEL, "--records", RECORD, "--version", 9)
    with pytest.raises(BadInput, match="row 0: b: expected"):
        quintet(local, "predict", MODEL, "--records", '{"a": 1.0, "b": "x"}')


@pytest.mark.parametrize(
    "line",
    [
        "versions frist",
        "promote frist 1",
        "rollback frist",
        "withdraw frist 1",
        "delete frist 1 --yes",
        "rollout status frist",
        "rollout start frist 2",
        "rollout history frist",
        "rollout rehearse frist 2",
        "runs start frist --prefix x/",
        "backfill frist --from 2026-01 --to 2026-02",
        "runs ls frist",
        "runs show frist",
        "runs watch frist",
        "runs report frist",
        "runs stop frist",
        "runs redrive frist",
        "runs compare frist a b",
        "runs promote frist a",
        "table show frist",
        "scores load frist",
        "candidates show frist",
        "candidates promote frist a",
        "stream tail frist --seconds 1",
        "stream windows frist",
        "captures query frist",
        "captures tail frist --seconds 1",
        "captures export frist rows.jsonl",
        "impressions export frist -o shown.jsonl",
        "impressions evaluate frist --version 1",
        "quality frist",
        "monitor frist",
        "skew frist",
        "openapi frist",
        "size frist",
    ],
)
def test_a_mistyped_model_is_named_with_the_near_one(local: LocalAws, line: str) -> None:
    with pytest.raises(NotFound, match=rf"is it '{MODEL}'\?"):
        quintet(local, *line.split())


@pytest.mark.parametrize(
    "line",
    ["drop FILE frist", "stream send FILE frist", "stream send FILE frist --raw"]
    + [f"{words} load FILE --model frist" for words in ("features", "labels")],
)
def test_a_mistyped_model_is_named_before_a_file_is_sent(
    local: LocalAws, tmp_path: Path, line: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"{RECORD}\n")
    with pytest.raises(NotFound, match=rf"is it '{MODEL}'\?"):
        quintet(local, *line.replace("FILE", str(rows)).split())


def test_rollback_makes_the_version_before_live(local: LocalAws) -> None:
    with pytest.raises(Conflict, match="got only version 1"):
        quintet(local, "rollback", MODEL)
    quintet(local, "promote", MODEL, 2)
    assert quintet(local, "rollback", MODEL, "--reason", "too high").startswith(
        f"{MODEL}: version 1 is live"
    )
    last = json.loads(quintet(local, "rollout", "history", MODEL, "--json"))[-1]
    assert (last["before"]["live"], last["after"]["live"], last["cause"]["reason"]) == (
        2,
        1,
        "too high",
    )


def test_logs_shows_lines_without_metrics_and_captures(local: LocalAws) -> None:
    quintet(local, "predict", MODEL, "--records", RECORD)

    def lines() -> list[str]:
        found = quintet(local, "logs", "predict", "--since", "1h").splitlines()
        return [line for line in found if f"model={MODEL}" in line and "predicted" in line]

    shown = eventually(lines, 30)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} INFO    predicted request_id=", shown[-1])
    raw = quintet(local, "logs", "Predict", "--since", "1h", "--raw")
    assert '"_aws"' in raw
    assert '"_aws"' not in "".join(shown)
    with pytest.raises(NotFound, match=r"a function of stage local \(is it 'ScoreStream'\?\)"):
        quintet(local, "logs", "ScoreStreams")
