"""Clients that need packages of their own, unmodified: each runs in its environment, as a script.

`make test-clients` makes the environments from requirements/clients-*.txt.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import ROOT, LocalAws
from tests.kits.models import LOG, TEXT, publish
from tests.kits.running_proxy import proxy

pytestmark = pytest.mark.clients

LOGS = pytest.approx([1.3862944, 0.6931472], rel=1e-6)
LOGS_2 = pytest.approx([1.9459101, 1.0986123], rel=1e-6)
SCRIPTS = Path(__file__).parent / "unmodified"


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """The local AWS, with two models."""
    outputs = local_aws.outputs
    for contract in (LOG, TEXT):
        publish(
            contract,
            local_aws.client("s3"),
            local_aws.client("dynamodb"),
            outputs["RegistryBucketName"],
            outputs["RegistryTableName"],
        )
    return local_aws


def run(environment: str, script: str, *arguments: str, **variables: str) -> Any:
    """What a script prints, as JSON."""
    python = ROOT / f".venv-clients-{environment}/bin/python"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [str(python), str(SCRIPTS / script), *arguments],
        env={**kept, "AWS_DEFAULT_REGION": "us-east-1", **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["directly", "through quintet proxy"])
def address(aws: LocalAws, request: pytest.FixtureRequest) -> Iterator[str]:
    """The API's address, or that of a proxy which combines what comes within 5 ms."""
    if request.param == "directly":
        yield aws.api_url
    else:
        with proxy(aws, "--batch-ms", "5") as found:
            yield found


def test_kserve(address: str) -> None:
    found = run("sagemaker2", "kserve_client.py", address)
    status, text = found.pop("unknown")
    assert (status, text.startswith("Request for unknown model: 'nope'")) == (404, True)
    assert found == {
        "live": True,
        "ready": True,
        "model ready": True,
        "json in, json out": ["float32", [LOGS]],
        "json in, raw out": ["float32", [LOGS]],
        "raw in, json out": ["float32", [LOGS]],
        "raw in, raw out": ["float32", [LOGS]],
        "v1 ready": True,
        "v1": {"predictions": [LOGS, LOGS_2]},
    }


def test_open_inference(aws: LocalAws) -> None:
    found = run("sagemaker2", "open_inference_client.py", aws.api_url)
    assert found == {
        "server": "quintet",
        "model": [-1, 2],
        "version": "onnx_onnxv1",
        "infer": ["log", "1", None, LOGS],
        "infer whole": ["log", "1", "mine", LOGS],
        "unknown": [404, {"error": "Request for unknown model: 'nope' is not found"}],
        "bad": [400, {"error": "inputs: expected at least one tensor, got none"}],
        "aio": ["log", "1", None, LOGS],
    }


def test_mlserver(aws: LocalAws) -> None:
    assert run("sagemaker3", "mlserver_client.py", aws.api_url) == {
        "server": "quintet",
        "model": "log",
        "index": ["READY"],
        "data frame": [LOGS, LOGS_2],
        "array": [LOGS],
        "texts": [1, 2],
        "mlserver infer": [LOGS, LOGS],
    }


def test_tritony(aws: LocalAws) -> None:
    """It reads the configuration of a model, and splits what is over its largest batch."""
    assert run("sagemaker2", "tritony_client.py", aws.api_url) == [LOGS] * 12


BAD = "row 0: x: expected a number (float32), got 'a'"


def test_sagemaker_2(aws: LocalAws) -> None:
    bucket = aws.outputs["PayloadsBucketName"]
    found = run("sagemaker2", "sagemaker2.py", aws.api_url, aws.endpoint_url, bucket)
    csv = [["1.3862944", "0.6931472"], ["1.9459102", "1.0986123"]]
    rows = [{"logs": LOGS}, {"logs": LOGS_2}]
    expected = {
        "csv": csv,
        "json": {"model": "log", "version": 1, "predictions": rows},
        "json row": {"model": "log", "version": 1, "predictions": rows[:1]},
        "npy": [LOGS, LOGS_2],
        "lines": rows,
    }
    assert found == {
        **{f"{form}, at_once": answer for form, answer in expected.items()},
        **{f"{form}, later": answer for form, answer in expected.items()},
        "csv, waited": csv,
        "bad": {"Code": "ValidationError", "Message": BAD},
    }


def test_sagemaker_3(aws: LocalAws) -> None:
    bucket = aws.outputs["PayloadsBucketName"]
    place = {"Bucket": bucket, "Key": "inputs/v3.csv"}
    aws.client("s3").put_object(**place, Body=b"3,1", ContentType="text/csv")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    found = run("sagemaker3", "sagemaker3.py", bucket, AWS_ENDPOINT_URL=aws.api_url, **keys)
    assert [float(value) for value in found.pop("csv").split(",")] == LOGS
    assert found == {
        "json": [{"logs": LOGS}],
        "variant": "v1",
        "attributes": "trace=7",
        "npy": [LOGS],
        "async": ["v3", True],
        "bad": {"Code": "ValidationError", "Message": BAD},
    }
