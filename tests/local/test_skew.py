"""`quintet skew` on the local AWS: from files of features and requests to the comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import urllib3
from tests.kits import models
from tests.kits.captures import CAPTURED
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.schemas import valid
from typer.testing import CliRunner

from quintet_cli.app import app

#: a model of its own, since others publish and promote the shop's
CONTRACT = replace(CAPTURED, name="skewed", version=1)


def quintet(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.output


def test_what_was_served_is_compared_with_what_was_loaded(
    local_aws: LocalAws, tmp_path: Path
) -> None:
    local, dynamodb = local_aws, local_aws.client("dynamodb")
    models.publish_graph(CONTRACT, models.shop_graph(), models.ROWS["shop"], local.registry)
    file = tmp_path / "features.csv"
    file.write_text("customer,orders_90d\nskew-1,4\nskew-2,5\n")
    quintet(local, "features", "load", str(file), "--model", "skewed")
    dynamodb.update_item(  # another writer, with another idea of the feature
        TableName=local.outputs["FeaturesTableName"],
        Key={"entity": {"S": "customer#skew-2"}},
        UpdateExpression="SET orders_90d = :other",
        ExpressionAttributeValues={":other": {"N": "6"}},
    )
    rows = [{"customer": f"skew-{number}", "amount": 10} for number in (1, 1, 2, 3)]
    url = f"{local.api_url}/models/skewed/predict"
    answer = urllib3.request("POST", url, json={"records": rows}, timeout=30)
    assert answer.status == 200, answer.data

    def captured() -> dict[str, Any] | None:
        found: dict[str, Any] = valid("quintet skew", quintet(local, "skew", "skewed", "--json"))
        return found if found["rows"] else None

    found = eventually(captured)
    assert (found["model"], found["version"], found["rows"]) == ("skewed", 1, 4)
    assert found["skew"] == [
        {
            "feature": "orders_90d",
            "rows": 4,
            "skewed": 1 / 4,
            "exact": 2,
            "within": 0,
            "different": 1,
            "missing_served": 0,
            "missing_offline": 0,
            "missing_both": 1,
            "behind": 0,
            "by_event_time": True,
        }
    ]
    (fresh,) = found["freshness"]
    assert (fresh["missing"], fresh["too_old"], fresh["max_age"]) == (1 / 4, 0.0, 3600)
    invoked = local.client("lambda").invoke(FunctionName=local.outputs["WatchAgesName"])
    assert "skewed" not in json.loads(invoked["Payload"].read())  # no feature of it is aging
    assert "by event time only: orders_90d" in quintet(local, "skew", "skewed")
    assert "captures arrive within a minute" in quintet(
        local, "skew", "skewed", "--day", "2026-01-01"
    )
