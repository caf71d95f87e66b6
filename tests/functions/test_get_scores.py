"""get_scores: the latest score of an entity; `quintet scores load` puts those of a run there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from tests.kits.alerts import scores_table
from tests.kits.batch import csv_bytes, row
from tests.kits.batch_functions import MACHINE, BatchAws, event, function, serving
from typer.testing import CliRunner

from quintet.aws.client import AwsClient
from quintet.aws.latest import LatestTable
from quintet.streaming.latest import Latest
from quintet_cli.app import app

ROWS = [row(number, country="xx" if number == 7 else "de") for number in range(50)]
STARTED = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with serving() as found:
        found.publish()
        for key in found.objects(""):  # moto keeps its state for the process
            found.client("s3").delete_object(Bucket="scores", Key=key)
        yield found


@pytest.fixture(scope="module")
def table(aws: BatchAws) -> str:
    return scores_table(aws.url)


@pytest.fixture
def state(aws: BatchAws, table: str, tmp_path: Path) -> Path:
    """A stage's state, for the command."""
    outputs = {
        "ScoresBucketName": "scores",
        "RegistryBucketName": "batch-registry",
        "RegistryTableName": "batch-registry",
        "ScoresTableName": table,
        "BatchScoringArn": MACHINE,
    }
    local = {"api_url": "", "endpoint_url": aws.url, "outputs": outputs}
    (tmp_path / "local.json").write_text(json.dumps(local))
    return tmp_path


def quintet(state: Path, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--state", str(state)])


def scored(aws: BatchAws, monkeypatch: pytest.MonkeyPatch, run: str, started: datetime) -> None:
    """A whole run."""
    # customer c1 comes twice, the later row counts
    body = csv_bytes([*ROWS, row(1, amount=99.0)])
    aws.client("s3").put_object(Bucket="inbox", Key="tiny/customers.csv", Body=body)
    request = {**event("plan_run_file"), "run": run, "started": started.isoformat()}
    with function("plan_run", aws, monkeypatch) as handler:
        planned = handler(request, None)
    units = aws.client("s3").get_object(Bucket="scores", Key=planned["units_key"])["Body"].read()
    with function("score_unit", aws, monkeypatch) as handler:
        for unit in orjson.loads(units):
            handler(unit, None)
    with function("report_run", aws, monkeypatch) as handler:
        assert handler({"run": run, "request": request["request"]}, None)["status"] == "succeeded"


def asked(
    aws: BatchAws, table: str, monkeypatch: pytest.MonkeyPatch, model: str, entity: str
) -> tuple[int, Any]:
    """What the API answers."""
    request = {
        **event("get_scores"),
        "pathParameters": {"proxy": f"{quote(model, safe='')}/{entity}"},
    }
    with function("get_scores", aws, monkeypatch) as handler:
        monkeypatch.setenv("QUINTET_SCORES_TABLE", table)
        answer = handler(request, None)
    return answer["statusCode"], json.loads(answer["body"])


def test_the_scores_of_a_run_are_loaded_and_looked_up(
    aws: BatchAws, table: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, body = asked(aws, table, monkeypatch, "tiny", "c1")
    assert (status, body["detail"]) == (
        404,
        "customer: expected one that tiny has scored, got 'c1'",
    )
    none = quintet(state, "scores", "load", "tiny")
    assert none.exit_code == 1 and str(none.exception) == "no run of tiny has succeeded yet"
    scored(aws, monkeypatch, "tiny-loaded", STARTED)
    loaded = quintet(state, "scores", "load", "tiny")
    assert loaded.exit_code == 0, loaded.output
    # 49 good rows, of which c1's first is passed over by the later one where they share a part
    assert "entities of run tiny-loaded loaded" in loaded.output
    status, body = asked(aws, table, monkeypatch, "tiny", "c1")
    assert status == 200
    assert body == {
        "model": "tiny",
        "version": 3,
        "customer": "c1",
        "outputs": body["outputs"],
        "scored": STARTED.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": "batch",
    }
    assert body["outputs"]["parts"] == {"amount": 99.0, "visits": 1.0}
    assert body["outputs"]["country_seen"] == "fr"
    assert asked(aws, table, monkeypatch, "tiny", "c7")[0] == 404  # it was quarantined
    # again: nothing is newer
    assert "0 of " in quintet(state, "scores", "load", "tiny").output


def test_a_later_score_stays(
    aws: BatchAws, table: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(aws, monkeypatch, "tiny-again", STARTED)
    client = AwsClient(
        "dynamodb",
        environ={
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": aws.url,
        },
    )
    streamed = Latest(
        model="tiny",
        entity_key="customer",
        entity="c2",
        outputs={"score": 0.5},
        version=3,
        arrived=STARTED.timestamp() + 1,
        sequence="1",
    )
    LatestTable(client, table, kept_seconds=86_400).put([streamed])
    assert quintet(state, "scores", "load", "tiny", "tiny-again").exit_code == 0
    _, body = asked(aws, table, monkeypatch, "tiny", "c2")
    assert (body["source"], body["outputs"]) == ("stream", {"score": 0.5})


@pytest.mark.parametrize(
    ("model", "detail"),
    [
        ("nosuch", "Request for unknown model: 'nosuch' is not found"),
        ("../x", "Request for unknown model: '../x' is not found"),
    ],
)
def test_an_unknown_model_is_not_found(
    aws: BatchAws, table: str, monkeypatch: pytest.MonkeyPatch, model: str, detail: str
) -> None:
    status, body = asked(aws, table, monkeypatch, model, "c1")
    assert (status, body["detail"]) == (404, detail)
