"""Streams on the local AWS, through the real template: alerts, windows, features, refusals."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from arro3 import io as arrow_io
from benchmarks.stream_alert import Alerts
from tests.kits.local_aws import ROOT, LocalAws, eventually, start_local_aws
from typer.testing import CliRunner

from quintet.replay.stream_objects import QUARANTINE
from quintet.streaming.alert import Alert, content
from quintet.streaming.windows import Window
from quintet_cli.app import app
from quintet_cli.receiver import Received, Receiver, receiving
from quintet_cli.stage import Stage
from quintet_cli.stream_reader import Scored, StreamReader
from quintet_cli.stream_tail import Seen, Tail
from quintet_cli.views.stream import alert_line

WINDOW = 5
SECONDS = 30


def command(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(local.state)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.output


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS with short windows, two shards, and an endpoint for alerts."""
    parameters = {
        "StreamWindowSeconds": str(WINDOW),
        "StreamShards": "2",
        "AlertEndpoint": "ops",
    }
    made = start_local_aws(tmp_path_factory.mktemp("streaming"), parameters=parameters)
    command(made, "publish", str(ROOT / "models/sensor"))
    command(made, "publish", str(ROOT / "models/fraud"))
    yield made
    made.stop()


@pytest.fixture
def default_stage(tmp_path: Path) -> Iterator[LocalAws]:
    """A local AWS with the template's own parameters."""
    made = start_local_aws(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module", autouse=True)
def called(local: LocalAws) -> Iterator[Receiver]:
    """What is listening at the endpoint for alerts."""
    receiver = Receiver()
    with receiving(receiver) as url:
        receiver.secrets = re.findall(r"whsec_\S+", command(local, "endpoints", "add", "ops", url))
        yield receiver


@pytest.fixture
def reader(local: LocalAws) -> StreamReader:
    return StreamReader(Stage.open("local", local.state))


def readings(path: Path, count: int) -> Path:
    """The first of the held-out readings."""
    lines = (ROOT / "models/sensor/data/readings.jsonl").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:count]))
    return path


def test_an_alert_arrives_within_ten_seconds_at_the_default_settings(
    default_stage: LocalAws,
) -> None:
    command(default_stage, "publish", str(ROOT / "models/sensor"))
    alerts = Alerts(default_stage, "alerts-in-time")
    alerts.until("warm-up", 60, SECONDS)
    # by what the stream and the topic have recorded: arrival there, sending here
    assert 0 < alerts.until("cold-room", 60, SECONDS).recorded < 10
    # the cool-down holds back what follows; another sensor's alert comes after it, alone
    alerts.put("cold-room", 70)
    alerts.until("other-room", 60, SECONDS)
    assert alerts.new() == []


def test_windows_sum_up_to_the_records(
    local: LocalAws, reader: StreamReader, tmp_path: Path
) -> None:
    path = readings(tmp_path / "in.jsonl", 900)
    assert "900 records" in command(local, "stream", "send", str(path), "sensor", "--now")

    def heard() -> dict[str, int] | None:
        found: dict[str, int] = {}
        for window in reader.windows("sensor", 5):
            for entity, aggregates in window.entities.items():
                found[entity] = found.get(entity, 0) + int(aggregates["readings"])
        return found if sum(found.values()) >= 900 else None

    records = [json.loads(line) for line in path.read_text().splitlines()]
    expected: dict[str, int] = {}
    for record in records:
        expected[record["sensor"]] = expected.get(record["sensor"], 0) + 1
    assert eventually(heard, SECONDS) == expected
    shown = command(local, "stream", "windows", "sensor", "--most", "2", "--entity", "kitchen")
    assert "+ 3600 s" in shown
    assert "kitchen" in shown and "office" not in shown


def test_a_record_that_its_producer_sends_three_times_counts_once(
    local: LocalAws, reader: StreamReader, tmp_path: Path
) -> None:
    row = json.loads(readings(tmp_path / "one.jsonl", 1).read_text())
    row |= {"sensor": "retried", "temperature": 80, "at": datetime.now(UTC).isoformat()}
    first, last = ({"model": "sensor", "records": [{**row, "id": name}]} for name in ("r1", "r2"))
    for record in (first, first, first, last):
        local.client("kinesis").put_record(
            StreamName=local.outputs["EventsStreamName"],
            Data=json.dumps(record).encode(),
            PartitionKey="retried",
        )

    def counted() -> int | None:
        windows = (window.entities.get("retried", {}) for window in reader.windows("sensor", 5))
        found = sum(int(aggregates.get("readings", 0)) for aggregates in windows)
        return found if found >= 2 else None

    assert eventually(counted, WINDOW + SECONDS) == 2
    s3, bucket = local.client("s3"), local.outputs["StreamBucketName"]
    sensors: list[str] = []
    for item in s3.list_objects_v2(Bucket=bucket, Prefix="predictions/sensor/")["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        sensors += arrow_io.read_parquet(io.BytesIO(body)).read_all()["sensor"].to_pylist()
    assert sensors.count("retried") == 2


def test_a_burst_on_the_stream_changes_the_online_score(local: LocalAws, tmp_path: Path) -> None:
    line = (ROOT / "models/fraud/data/orders_stream.jsonl").open().readline()
    order = {**json.loads(line), "customer_id": "burst"}
    asked = {name: value for name, value in order.items() if name != "placed"}
    history = tmp_path / "history.csv"
    history.write_text(
        "customer_id,orders_365d,cancellations_365d,average_amount_365d,average_lines_365d,"
        "refunds_365d,days_since_order\nburst,3,0,300,15,0,20\n"
    )
    command(local, "features", "load", str(history), "--model", "fraud")

    def score() -> float:
        answer = urllib3.request(
            "POST", f"{local.api_url}/models/fraud/predict", json={"records": [asked]}, timeout=30
        ).json()["predictions"][0]
        assert not answer.get("fallback")
        return float(answer["probabilities"]["cancelled"])

    before = score()
    burst = tmp_path / "burst.jsonl"
    burst.write_text(f"{json.dumps(order)}\n" * 8)
    command(local, "stream", "send", str(burst), "fraud", "--now")
    # the window closes, and predict's cache of features is 5 s old at most
    after = eventually(lambda: now if (now := score()) != before else None, WINDOW + SECONDS)
    assert after < before  # who orders again on a day keeps it more often


def test_what_cannot_be_scored_is_kept_whole_and_shown(
    local: LocalAws, reader: StreamReader, tmp_path: Path
) -> None:
    good = json.loads(readings(tmp_path / "one.jsonl", 1).read_text())
    good["at"] = datetime.now(UTC).isoformat()
    bad = [
        b"\xff\xfe",
        b"[]",
        json.dumps({"model": "nobody", "records": [good]}).encode(),
        json.dumps({"model": "sensor", "records": [{**good, "temperature": 999}]}).encode(),
        json.dumps({"model": "sensor", "records": [{**good, "at": "3000-01-01"}]}).encode(),
    ]
    path = tmp_path / "bad.txt"
    path.write_bytes(b"\n".join(bad))
    command(local, "stream", "send", str(path), "--raw")

    def refused() -> list[dict[str, Any]] | None:
        lines = [line for key in reader.keys(QUARANTINE) for line in reader.refused(key)]
        return lines if len(lines) >= len(bad) else None

    lines = eventually(refused, SECONDS)
    found = {
        (line["model"], line["row"], line["reasons"][0]["field"], line["reasons"][0]["got"])
        for line in lines
    }
    assert len(lines) == len(bad)
    assert ("nobody", None, "model", "'nobody'") in found
    assert ("sensor", 0, "at", "'3000-01-01'") in found
    assert ("sensor", 0, "temperature", "999.0") in found
    told = command(local, "stream", "status")
    assert "2 open, 0 closed" in told


def test_why_a_model_has_no_windows_is_told(local: LocalAws) -> None:
    command(local, "publish", str(ROOT / "models/digits"))
    state = ("--state", str(local.state))
    for model, why in {
        "digits": "the contract of digits declares no aggregates: it has no windows",
        "nosuch": "model: expected one published on stage local, got 'nosuch'",
    }.items():
        done = CliRunner().invoke(app, ["stream", "windows", model, *state])
        assert str(done.exception) == why


def test_tail_sees_what_comes(local: LocalAws, reader: StreamReader, tmp_path: Path) -> None:
    follow = Tail(reader, "sensor", time.time())
    path = readings(tmp_path / "in.jsonl", 200)
    spike = json.loads(path.read_text().splitlines()[0])
    with path.open("a") as more:
        more.write(json.dumps({**spike, "sensor": "attic", "temperature": 80}) + "\n")
    command(local, "stream", "send", str(path), "sensor", "--now")
    seen: list[Seen] = []

    def scored() -> int:
        return sum(one.rows for one in seen if isinstance(one, Scored))

    def all_of_it() -> bool:
        seen.extend(follow.look(time.time()))
        return {type(one) for one in seen} >= {Scored, Alert, Window} and scored() >= 201

    eventually(all_of_it, SECONDS)
    assert scored() == 201
    (attic,) = [one for one in seen if isinstance(one, Alert) and one.entity == "attic"]
    assert "alert" in alert_line(attic) and "attic: anomaly" in alert_line(attic)
    assert command(local, "stream", "tail", "--seconds", "0.1").startswith("following all models")
    begun = list(Tail(reader, "sensor", time.time(), 1).look(time.time()))
    assert any(isinstance(one, Scored) for one in begun)  # what was sent just before


def test_an_alert_goes_from_the_stream_to_a_signed_webhook(
    local: LocalAws, called: Receiver, reader: StreamReader, tmp_path: Path
) -> None:
    hot = json.loads(readings(tmp_path / "one.jsonl", 1).read_text())
    path = tmp_path / "hot.jsonl"
    path.write_text(json.dumps({**hot, "sensor": "cellar", "temperature": 80}))
    command(local, "stream", "send", str(path), "sensor", "--now")

    def heard() -> list[Received]:
        return [r for r in called.received if r.content["data"]["entity"] == "cellar"]

    (received,) = eventually(heard, SECONDS)
    raised = reader.alerts.last("sensor", "cellar")
    assert raised is not None
    data = content(raised.alert)
    assert received.verified
    assert received.content == {"type": "alert.raised", "timestamp": data["at"], "data": data}
