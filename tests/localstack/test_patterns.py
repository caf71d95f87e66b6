"""One real act of each pattern on LocalStack: the built functions, through its own services."""

from __future__ import annotations

import csv
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.kits.local_aws import ROOT, eventually
from tests.localstack.conftest import Deployed

from quintet_cli.run_reader import RunReader
from quintet_cli.stream_reader import StreamReader

pytestmark = pytest.mark.localstack

CUSTOMERS = ROOT / "models/churn/data/customers.csv"
READINGS = ROOT / "models/sensor/data/readings.jsonl"
ROWS = 400
SECONDS = 120


@pytest.fixture(scope="module")
def stack(deployed: Deployed) -> Iterator[Deployed]:
    """The stage with three models, published right after the first deployment."""
    for model in ("tickets", "churn", "sensor"):
        printed = deployed.at.quintet("publish", f"models/{model}")
        assert "live: version 1 answers requests" in printed
    yield deployed


def ask(stack: Deployed, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """What the API answers."""
    request = urllib.request.Request(
        stack.stage.api_url + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"} | headers,
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def golden(model: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Records of a model and what it must answer, from its package; the tolerance."""
    found = json.loads((ROOT / f"models/{model}/golden.json").read_text())

    def rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    return rows(found["columns"]), rows(found["outputs"]), found["tolerance"]


def assert_tickets(answer: dict[str, Any]) -> None:
    """The answer is the one of the package's golden vectors."""
    _, expected, tolerance = golden("tickets")
    assert (answer["model"], answer["version"]) == ("tickets", 1)
    assert [p["label"] for p in answer["predictions"]] == [row["label"] for row in expected]
    for prediction, row in zip(answer["predictions"], expected, strict=True):
        given = list(prediction["probabilities"].values())
        assert given == pytest.approx(row["probabilities"], abs=tolerance)


def test_online(stack: Deployed) -> None:
    """Through the REST API, the alias and the built layers."""
    status, answer = ask(stack, "/models/tickets/predict", {"records": golden("tickets")[0]})
    assert status == 200
    assert_tickets(answer)
    assert ask(stack, "/v2/models/tickets")[1]["name"] == "tickets"
    status, refused = ask(stack, "/models/tickets/predict", {"records": [{"txt": "a"}]})
    assert status == 400
    assert "text" in json.dumps(refused)


def test_a_job_is_done(stack: Deployed) -> None:
    """Accepted, queued in SQS, worked on, and read back by the API and the command."""
    body = {"records": golden("tickets")[0]}
    status, job = ask(stack, "/models/tickets/predict", body, Prefer="respond-async")
    assert (status, job["state"]) == (202, "ACCEPTED")

    def done() -> Any:
        _, shown = ask(stack, f"/jobs/{job['id']}")
        return shown if shown["state"] == "DONE" else None

    assert_tickets(eventually(done, SECONDS)["result"]["body"])
    assert job["id"] in stack.at.quintet("jobs", "ls")


@pytest.fixture(scope="module")
def dropped(stack: Deployed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `quintet drop` printed: it follows the run to its end."""
    file = tmp_path_factory.mktemp("dropped") / "customers.csv"
    file.write_text("".join(CUSTOMERS.read_text().splitlines(keepends=True)[: ROWS + 1]))
    return stack.at.quintet("drop", file, "churn")


def test_a_dropped_file_has_its_report(stack: Deployed, dropped: str) -> None:
    """S3's notification, SQS, Step Functions' distributed map, the report."""
    assert "400 rows = 400 scored + 0 quarantined" in dropped
    reader = RunReader(stack.stage)
    report = reader.reported(reader.newest("churn"))
    assert report["status"] == "succeeded"
    assert report["counts"] | {"scored": ROWS, "quarantined": 0} == report["counts"]
    assert "succeeded" in stack.at.quintet("runs", "ls", "churn")


def test_a_customer_of_the_file_is_looked_up(stack: Deployed, dropped: str) -> None:
    assert "400 of 400 entities" in stack.at.quintet("scores", "load", "churn")
    with CUSTOMERS.open(newline="") as file:
        entity = next(csv.DictReader(file))["customer_id"]
    status, found = ask(stack, f"/scores/churn/{entity}")
    assert (status, found["customer_id"], found["source"]) == (200, entity, "batch")


def test_records_of_a_stream_become_predictions(stack: Deployed) -> None:
    """Kinesis, score_stream in batches, Parquet in the stream's bucket; each row once."""
    sent = [json.loads(line) for line in READINGS.read_text().splitlines()]
    printed = stack.at.quintet("stream", "send", str(READINGS), "sensor", "--now")
    assert f"{len(sent):,} records of readings.jsonl sent" in printed
    reader = StreamReader(stack.stage)

    def scored() -> Any:
        found = [reader.scored(key) for key in reader.keys("predictions/")]
        return found if sum(batch.rows for batch in found) >= len(sent) else None

    batches = eventually(scored, SECONDS)
    sequences = [s for batch in batches for s in batch.columns["sequence"]]
    assert len(sequences) == len(set(sequences)) == len(sent)
    sensors = [s for batch in batches for s in batch.columns["sensor"]]
    assert sorted(sensors) == sorted(record["sensor"] for record in sent)
    status, latest = ask(stack, f"/scores/sensor/{sent[-1]['sensor']}")
    assert (status, latest["source"]) == (200, "stream")
