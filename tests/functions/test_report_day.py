"""report_day on moto: the drift of a published model, beside one whose captures are damaged."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from tests.functions.conftest import OnlineAws, fresh_handler
from tests.kits import models
from tests.kits.registries import publisher_to, registry_at
from tests.kits.rollouts import cause, started

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.captures.places import hourly_key
from quintet.captures.reading import Hour
from quintet.captures.tables import moments, table_of, write_parquet
from quintet.contract import Capture, to_dict
from quintet.manifest import digest_of, sha256
from quintet.monitoring.baseline import baseline_of
from quintet.rollouts import transitions
from quintet.rollouts.stops import Stop, stop_of
from quintet.wiring import daily
from quintet_publish.release import Release

DAYS = [datetime(2026, 3, day, 9, tzinfo=UTC) for day in (1, 2, 3)]
NEXT = datetime(2026, 3, 4, 9, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 1, 30, tzinfo=UTC).timestamp()
RANDOM = np.random.default_rng(3)
TRAINED = {name: RANDOM.normal(size=2_000).astype(np.float32) for name in ("x", "y")}


def publish(aws: OnlineAws, name: str, version: int = 1) -> None:
    """Publish a captured model with a baseline."""
    contract = replace(models.LOG, name=name, version=version, capture=Capture())
    files = {
        "contract.json": orjson.dumps(to_dict(contract)),
        "model.onnx": models.log_graph(),
        "baseline.json": orjson.dumps(baseline_of(contract, TRAINED)),
    }
    sources = {key: sha256(content) for key, content in files.items()}
    golden = {"columns": {"x": [1.0], "y": [1.0]}, "outputs": {}, "tolerance": 1e-6}
    release = Release(contract, digest_of(sources), sources, files, golden)
    registry = registry_at(
        aws.client("s3"), aws.client("dynamodb"), bucket="registry-bucket", table="registry"
    )
    publisher_to(registry).publish(release, "2026-01-01T00:00:00+00:00")


def captures(shift: float, start: float) -> bytes:
    """An hour's captures, of which y has moved."""
    fixed = {
        "event": [f"e{row}" for row in range(400)],
        "row": np.zeros(400, dtype=np.int64),
        "event_time": moments(start),
        "served_at": moments(start),
        "outcome": "scored",
        "version": 1,
        "path": "online",
    }
    x, y = (RANDOM.normal(size=400).astype(np.float32) for _ in range(2))
    return write_parquet(table_of(400, fixed, {"feature_x": x, "feature_y": y + np.float32(shift)}))


def put(aws: OnlineAws, model: str, moment: datetime, body: bytes) -> None:
    """Put an hour's captures."""
    hour = Hour(model, 1, 30, int(moment.timestamp()))
    aws.client("s3").put_object(Bucket="captures-bucket", Key=hourly_key(hour), Body=body)


def test_one_model_that_cannot_be_reported_hides_no_drift_of_another(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = online_aws.client("s3")
    for name in ("unreadable", "drifting"):
        publish(online_aws, name)
    put(online_aws, "unreadable", DAYS[-1], b"no parquet")
    for day, shift in zip(DAYS, (0, 1, 1), strict=True):
        put(online_aws, "drifting", day, captures(shift, day.timestamp()))
    with fresh_handler(_settings(online_aws), monkeypatch, "report_day") as handler:
        asked: Any = handler({"model": "drifting", "day": "2026-03-02"}, None)
        assert [(one["rows"]["scored"], one["moved"], one["drifting"]) for one in asked] == [
            (400, ["y"], [])
        ]
        capsys.readouterr()
        with pytest.raises(ExceptionGroup, match="1 models were not reported; see the log"):
            daily.report_all(NOW)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # models of other tests may have captures here, too
    said = {line["model"]: line["message"] for line in lines if "message" in line}
    assert (said["unreadable"], said["drifting"]) == ("not reported", "reported")
    assert [line["drifting_models_count"] for line in lines if "drifting_models_count" in line] == [
        [1.0]
    ]
    assert _stops(online_aws) == []  # there is no rollout
    folder = "daily/model=drifting/date=2026-03-03/"
    stored = s3.get_object(Bucket="captures-bucket", Key=f"{folder}report.json")["Body"].read()
    report = json.loads(stored)
    assert (report["version"], report["moved"], report["drifting"]) == (1, ["y"], ["y"])
    found = s3.list_objects_v2(Bucket="captures-bucket", Prefix=folder)["Contents"]
    names = {"counts.json", "report.html", "report.json"}
    assert {item["Key"].removeprefix(folder) for item in found} == names


def _settings(aws: OnlineAws) -> dict[str, str]:
    bucket, queue = "captures-bucket", aws.queue("drifts")
    names = {"QUINTET_CAPTURES_BUCKET": bucket, "QUINTET_ROLLOUT_QUEUE_URL": queue}
    return {**aws.environ, **names}


def _stops(aws: OnlineAws) -> list[Stop | None]:
    """The stops of rollouts that were sent."""
    url = aws.queue("drifts")
    found = aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [stop_of(message["Body"]) for message in found.get("Messages", [])]


def test_the_rollout_of_a_model_that_begins_to_drift_is_stopped(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2):
        publish(online_aws, "stopped", version)
    for day, shift in zip(DAYS, (0, 1, 1), strict=True):
        put(online_aws, "stopped", day, captures(shift, day.timestamp()))
    store = Rollouts(AwsClient("dynamodb", environ=online_aws.environ), "registry")
    started(store, model="stopped")
    with fresh_handler(_settings(online_aws), monkeypatch, "report_day") as handler:
        handler({"model": "stopped", "day": "2026-03-02"}, None)
        assert _stops(online_aws) == []  # it moved, and does not drift yet
        with suppress(ExceptionGroup):  # of the damaged model
            daily.report_all(NOW)
        stop = Stop(at=NOW, by="report_day", reason="y drifts since 2026-03-03", model="stopped")
        assert _stops(online_aws) == [stop]
        put(online_aws, "stopped", NEXT, captures(1, NEXT.timestamp()))
        with suppress(ExceptionGroup):
            daily.report_all(NOW + 86_400)
        assert _stops(online_aws) == []  # it drifted before
    assert store.write(transitions.roll_back(store.read("stopped"), cause()))
