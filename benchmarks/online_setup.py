"""Setup of the online benchmarks: a local AWS with a published model, and predict's handler."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kits.local_aws import LocalAws, start_local_aws

__all__ = ["MODEL", "Handler", "environment", "handler", "served_model"]

ROOT = Path(__file__).parents[1]
MODEL = "fraud"

Handler = Callable[[dict[str, Any], object], dict[str, Any]]


@contextmanager
def served_model(model: str = MODEL) -> Iterator[LocalAws]:
    """Run a local AWS in another process, with an example model and its features."""
    with tempfile.TemporaryDirectory() as state:
        local = start_local_aws(Path(state))
        try:
            folder = ROOT / "models" / model
            _quintet("publish", str(folder), state=state)
            if (features := folder / "data/features.csv").exists():
                _quintet("features", "load", str(features), "--model", model, state=state)
            yield local
        finally:
            local.stop()


def _quintet(*arguments: str, state: str) -> None:
    command = str(Path(sys.executable).with_name("quintet"))
    subprocess.run([command, *arguments, "--state", state], check=True, stdout=subprocess.DEVNULL)


def environment(local: LocalAws) -> dict[str, str]:
    """Return predict's environment, as the template sets it."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": local.endpoint_url,
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "POWERTOOLS_SERVICE_NAME": "predict",
        "POWERTOOLS_METRICS_NAMESPACE": "Quintet",
        "QUINTET_STAGE": "bench",
        "QUINTET_AUTH": "none",
        "QUINTET_REGISTRY_BUCKET": local.outputs["RegistryBucketName"],
        "QUINTET_REGISTRY_TABLE": local.outputs["RegistryTableName"],
        "QUINTET_FEATURES_TABLE": local.outputs["FeaturesTableName"],
        "QUINTET_CANDIDATES_TABLE": local.outputs["CandidatesTableName"],
        "QUINTET_JOBS_TABLE": local.outputs["JobsTableName"],
        "QUINTET_ENDPOINTS_TABLE": local.outputs["EndpointsTableName"],
        "QUINTET_PAYLOADS_BUCKET": local.outputs["PayloadsBucketName"],
        "QUINTET_WORK_QUEUE_URL": local.outputs["WorkQueueUrl"],
        "QUINTET_JOB_RETENTION_DAYS": "7",
        "QUINTET_PRELOAD": MODEL,
    }


def handler(environ: dict[str, str]) -> Handler:
    """Return predict's handler in this process."""
    os.environ.update(environ)
    spec = importlib.util.spec_from_file_location("app", ROOT / "functions/predict/app.py")
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    found: Handler = app.handler
    return found


def records(count: int) -> list[dict[str, Any]]:
    """Return the first of the example's requests."""
    with (ROOT / "models" / MODEL / "data/requests.jsonl").open() as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
