"""What `benchmarks.handler` compares with: the duties of a request by hand, and with Powertools.

Both answer the records form for the tree model of 30 numbers, from API Gateway's event to its
response, with a log line and metrics. Neither refuses what it should not take, reads stored
features, knows versions or captures: they do less.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import orjson

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Handler = Callable[[dict[str, Any], object], dict[str, Any]]
Run = Callable[[list[str], dict[str, Any]], list[Any]]

_METRICS = [{"Name": name, "Unit": unit} for name, unit in (("n", "Count"), ("ms", "Milliseconds"))]
_EMF = [{"Namespace": "Bench", "Dimensions": [["model"]], "Metrics": _METRICS}]


def by_hand(run: Run, names: Sequence[str]) -> Handler:
    """A lean handler: parse, one array, finite values, the run, the answer, a line, metrics."""
    wanted = set(names)

    def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
        started = time.perf_counter()
        body = event["body"]
        records = orjson.loads(base64.b64decode(body) if event["isBase64Encoded"] else body)
        rows = records["records"]
        if any(row.keys() != wanted for row in rows):
            raise ValueError("fields")
        x = np.array([[row[name] for name in names] for row in rows], np.float32)
        if not np.isfinite(x).all():
            raise ValueError("finite")
        (scores,) = run(["probabilities"], {"x": x})
        found = {"predictions": scores}
        answer = orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        spent = (time.perf_counter() - started) * 1000
        line = {"level": "INFO", "message": "predicted", "rows": len(rows), "ms": spent}
        metrics = {
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": _EMF},
            "model": "bench",
            "n": 1,
            "ms": spent,
        }
        sys.stdout.write(f"{orjson.dumps(line).decode()}\n{orjson.dumps(metrics).decode()}\n")
        sys.stdout.flush()
        headers = {"Content-Type": "application/json"}
        return {"statusCode": 200, "headers": headers, "body": answer, "isBase64Encoded": False}

    return handle


def with_powertools(run: Run, names: Sequence[str]) -> Handler:
    """The usual handler: Powertools' resolver, Logger and Metrics."""
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
    from aws_lambda_powertools.metrics import MetricUnit

    logger, metrics = Logger(service="bench"), Metrics(namespace="Bench", service="bench")
    app = APIGatewayRestResolver()

    @app.post("/models/<model>/predict")
    def predict(model: str) -> Response[str]:
        rows = app.current_event.json_body["records"]
        x = np.array([[row[name] for name in names] for row in rows], np.float32)
        if not np.isfinite(x).all():
            raise ValueError("finite")
        (scores,) = run(["probabilities"], {"x": x})
        logger.info("predicted", model=model, rows=len(rows))
        metrics.add_metric("n", MetricUnit.Count, 1)
        metrics.add_metric("rows", MetricUnit.Count, len(rows))
        return Response(200, "application/json", json.dumps({"predictions": scores.tolist()}))

    @metrics.log_metrics
    def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
        answered: dict[str, Any] = app.resolve(event, cast("LambdaContext", context))
        return answered

    found: Handler = handle
    return found
