"""From an answer's event id to its model's quality, on the local AWS."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.kits import models
from tests.kits.local_aws import LocalAws, eventually
from typer.testing import CliRunner, Result

from quintet.contract import Capture
from quintet_cli.app import app

#: the shop's model, whose probability is one of two
CONTRACT = replace(
    models.SHOP, name="labelled", version=1, id="order", capture=Capture(days=30), fallback=None
)


def quintet(local: LocalAws, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--state", str(local.state)])


def post(local: LocalAws, path: str, body: Any) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{local.api_url}{path}", json=body, timeout=30)


@pytest.fixture(scope="module")
def local(local_aws: LocalAws) -> LocalAws:
    """With the model published."""
    features = tuple(replace(one, source="request", max_age=None) for one in CONTRACT.features)
    contract = replace(CONTRACT, features=features)
    models.publish_graph(contract, models.shop_graph(), models.ROWS["shop"], local_aws.registry)
    return local_aws


def test_labels_by_event_row_id_and_file_become_quality(local: LocalAws, tmp_path: Path) -> None:
    rows = [{"customer": "c", "amount": a, "orders_90d": 1} for a in (100, 900, 3_000)]
    single = [post(local, "/models/labelled/predict", {"records": [row]}) for row in rows[:2]]
    rows[1]["order"] = "A-1"
    both = post(local, "/models/labelled/predict", {"records": rows[1:]})
    answers = [*single, both]
    assert [answer.status for answer in answers] == [200] * 3, both.data
    one, two, three = (answer.headers["X-Quintet-Event"] for answer in answers)
    now = time.time()
    labels = [
        {"id": one, "label": "kept", "time": now},
        {"id": f"{three}.1", "label": 1, "time": now},
        {"id": "A-1", "label": "cancelled", "time": now},
    ]
    for _ in range(2):  # idempotent
        answer = post(local, "/labels", {"model": "labelled", "labels": labels})
        assert (answer.status, answer.json()) == (200, {"model": "labelled", "labels": 3})
    wrong = post(local, "/labels", {"model": "labelled", "labels": [{"id": "a"}]})
    assert wrong.status == 400
    assert "row 0: label: expected one of kept, cancelled" in wrong.json()["detail"]
    file = tmp_path / "labels.csv"
    file.write_text(f"id,label,time\n{two},cancelled,{now}\nnowhere,kept,{now}\n")
    loaded = quintet(local, "labels", "load", str(file), "--model", "labelled")
    assert (loaded.exit_code, loaded.output) == (0, "2 labels of labelled loaded, 0 rows refused\n")

    def found() -> Any:
        done = quintet(local, "quality", "labelled", "--days", "2", "--by", "amount", "--json")
        assert done.exit_code == 0, done.output
        said = json.loads(done.output)
        return said if sum(version["rows"] for version in said["versions"]) == 4 else None

    said = eventually(found)  # captures arrive in seconds
    assert said["labels"] == {
        "read": 5,
        "used": 4,
        "twice": 0,
        "corrected": 0,
        "contradictory": 0,
        "late": 0,
        "not_a_label": 0,
        "unknown": 1,
    }
    (version,) = said["versions"]
    assert (version["version"], version["rows"], version["labelled"]) == (1, 4, 4)
    # kept, of which the model said 0.55 to be cancelled
    assert version["realised"] == {"accuracy": 0.75, "auc": 1.0}
    assert [part["value"] for part in version["segments"]] == [100.0, 900.0, 3000.0]
    shown = quintet(local, "quality", "labelled")
    assert "labels: 5 read, 4 used; 1 of unknown predictions" in shown.output
    refused = quintet(local, "quality", "labelled", "--by", "colour")
    assert str(refused.exception).startswith("--by: expected one of amount, items, orders_90d")
