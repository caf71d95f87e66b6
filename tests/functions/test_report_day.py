"""report_day on moto: the drift of a published model, beside one whose captures are damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from tests.functions.conftest import OnlineAws, fresh_handler
from tests.kits import models
from tests.kits.registries import publisher_to, registry_at

from quintet.captures.places import hourly_key
from quintet.captures.reading import Hour
from quintet.captures.tables import moments, table_of, write_parquet
from quintet.contract import Capture, to_dict
from quintet.manifest import digest_of, sha256
from quintet.monitoring.baseline import baseline_of
from quintet.wiring import daily
from quintet_publish.release import Release

DAYS = [datetime(2026, 3, day, 9, tzinfo=UTC) for day in (1, 2, 3)]
NOW = datetime(2026, 3, 4, 1, 30, tzinfo=UTC).timestamp()
RANDOM = np.random.default_rng(3)
TRAINED = {name: RANDOM.normal(size=2_000).astype(np.float32) for name in ("x", "y")}


def publish(aws: OnlineAws, name: str) -> None:
    """Publish a captured model with a baseline."""
    contract = replace(models.LOG, name=name, capture=Capture())
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


def test_one_model_that_cannot_be_reported_hides_no_drift_of_another(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = online_aws.client("s3")

    def put(model: str, moment: datetime, body: bytes) -> None:
        hour = Hour(model, 1, 30, int(moment.timestamp()))
        s3.put_object(Bucket="captures-bucket", Key=hourly_key(hour), Body=body)

    for name in ("damaged", "drifting"):
        publish(online_aws, name)
    put("damaged", DAYS[-1], b"no parquet")
    for day, shift in zip(DAYS, (0, 1, 1), strict=True):
        put("drifting", day, captures(shift, day.timestamp()))
    settings = {**online_aws.environ, "QUINTET_CAPTURES_BUCKET": "captures-bucket"}
    with fresh_handler(settings, monkeypatch, "report_day") as handler:
        asked: Any = handler({"model": "drifting", "day": "2026-03-02"}, None)
        assert [(one["rows"]["scored"], one["moved"], one["drifting"]) for one in asked] == [
            (400, ["y"], [])
        ]
        capsys.readouterr()
        with pytest.raises(ExceptionGroup, match="1 models were not reported; see the log"):
            daily.report_all(NOW)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = {line["message"]: line["model"] for line in lines if "message" in line}
    assert said == {"not reported": "damaged", "reported": "drifting"}
    assert [line["drifting_models_count"] for line in lines if "drifting_models_count" in line] == [
        [1.0]
    ]
    folder = "daily/model=drifting/date=2026-03-03/"
    stored = s3.get_object(Bucket="captures-bucket", Key=f"{folder}report.json")["Body"].read()
    report = json.loads(stored)
    assert (report["version"], report["moved"], report["drifting"]) == (1, ["y"], ["y"])
    found = s3.list_objects_v2(Bucket="captures-bucket", Prefix=folder)["Contents"]
    names = {"counts.json", "report.html", "report.json"}
    assert {item["Key"].removeprefix(folder) for item in found} == names
