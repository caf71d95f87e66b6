"""Lines of functions are found in CloudWatch Logs, and the metrics in them in CloudWatch."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.kits.aws import client, moto_server

from quintet_local.functions import Function
from quintet_local.logs import Logs

NOW = datetime.now(UTC).replace(microsecond=0)
LINE = json.dumps(
    {
        "_aws": {
            "Timestamp": int(NOW.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": "Lines",
                    "Dimensions": [["model"]],
                    "Metrics": [{"Name": "score_ms", "Unit": "Milliseconds"}],
                }
            ],
        },
        "model": "m",
        "score_ms": [1.0, 3.0],
    }
)


def test_lines_and_the_metrics_in_them_are_in_the_services(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    function = Function("F", "f", "arn:f", "a.b", tmp_path, log_group="/aws/lambda/of-lines")
    logs(function, "one", ["begun"])  # before there are services to take it
    logs.start([], lambda *_: None)
    logs(function, "one", [LINE, ""])
    logs.stop()
    with moto_server() as url:
        found = client("logs", url).filter_log_events(logGroupName="/aws/lambda/of-lines")
        answer = client("cloudwatch", url).get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "m",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "Lines",
                            "MetricName": "score_ms",
                            "Dimensions": [{"Name": "model", "Value": "m"}],
                        },
                        "Period": 60,
                        "Stat": "Sum",
                    },
                }
            ],
            StartTime=NOW - timedelta(minutes=1),
            EndTime=NOW + timedelta(minutes=1),
        )
    assert [event["message"] for event in found["events"]] == ["begun", LINE, " "]
    assert [result["Values"] for result in answer["MetricDataResults"]] == [[4.0]]
    assert (tmp_path / "F.log").read_text() == f"begun\n{LINE}\n\n"
