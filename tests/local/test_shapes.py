"""Rows of different shapes on the local AWS: over HTTP, as jobs, as a dropped file, on a stream."""

from __future__ import annotations

import io
import json
from functools import partial
from typing import Any

import orjson
import pytest
import urllib3
from arro3 import io as arrow_io
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.shapes import FOUND, TOKENS, package
from typer.testing import CliRunner

from quintet.batch.plans import RunPaths, run_name
from quintet_cli.app import app

ROWS = list(TOKENS.rows)
EXPECTED = [
    {"kept": [5, 0, 7], "total": 12},
    {"kept": [9], "total": 9},
    {"kept": [1, 2, 3], "total": 6},
    {"kept": [], "total": 0},
    {"kept": [0, 0, 0, 0, 0, 6], "total": 6},
]


@pytest.fixture(scope="module")
def local(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """Both models are published."""
    for shaped in (TOKENS, FOUND):
        folder = package(tmp_path_factory.mktemp("package") / "p", shaped)
        result = CliRunner().invoke(app, ["publish", str(folder), "--state", str(local_aws.state)])
        assert result.exit_code == 0, result.output
    return local_aws


def ask(local: LocalAws, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    method = "GET" if body is None else "POST"
    data = None if body is None else json.dumps(body)
    found = urllib3.request(
        method, f"{local.api_url}{path}", body=data, headers=headers, timeout=30
    )
    return found.status, json.loads(found.data)


def test_over_http(local: LocalAws) -> None:
    status, answer = ask(local, "/models/tokens/predict", {"records": ROWS})
    assert (status, answer["predictions"]) == (200, EXPECTED)
    tensors = [
        {"name": name, "datatype": "INT64", "shape": [1, 3], "data": ROWS[0][name]}
        for name in ("tokens", "mask")
    ]
    status, answer = ask(local, "/v2/models/tokens/infer", {"inputs": tensors})
    outputs = {o["name"]: (o["shape"], o["data"]) for o in answer["outputs"]}
    assert outputs == {"kept": ([1, 3], [5, 0, 7]), "total": ([1], [12])}
    status, answer = ask(local, "/models/found/predict", {"records": list(FOUND.rows)})
    assert [row["found"] for row in answer["predictions"]] == [
        [[0], [2]],
        [],
        [[0]],
        [[0], [1], [2]],
    ]
    assert [row["peak"] for row in answer["predictions"]] == [1, -1, 0.5, 3]


def test_rows_that_do_not_fit_are_named(local: LocalAws) -> None:
    long = {"tokens": [1] * 7, "mask": [1] * 6}
    apart = {"tokens": [1, 2], "mask": [1, 1, 1]}
    body = {"records": [ROWS[0], long, apart], "partial": True}
    status, answer = ask(local, "/models/tokens/predict", body)
    assert (status, answer["predictions"]) == (200, [EXPECTED[0], None, None])
    assert [(e["row"], e["field"], e["got"]) for e in answer["errors"]] == [
        (1, "tokens", "shape [7]"),
        (2, "model", "model tokens version 1 failed on tokens [1, 2], mask [1, 3] (Fail)"),
    ]


def test_as_jobs(local: LocalAws) -> None:
    jobs = []
    for row in ROWS:
        headers = {"Prefer": "respond-async"}
        status, found = ask(local, "/models/tokens/predict", {"records": [row]}, **headers)
        assert status == 202, found
        jobs.append(found["id"])
    for job, expected in zip(jobs, EXPECTED, strict=True):
        done = eventually(partial(settled, local, job))
        assert done["result"]["body"]["predictions"] == [expected]


def settled(local: LocalAws, job: str) -> dict[str, Any] | None:
    """A job, once it has ended."""
    found: dict[str, Any] = ask(local, f"/jobs/{job}")[1]
    return None if found["state"] in ("ACCEPTED", "LEASED") else found


def test_as_a_dropped_file(local: LocalAws) -> None:
    bucket, s3 = local.outputs["InboxBucketName"], local.client("s3")
    body = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)
    stored = s3.put_object(Bucket=bucket, Key="tokens/rows.jsonl", Body=body)
    folder = RunPaths("tokens", run_name(bucket, "tokens/rows.jsonl", stored["VersionId"]))
    (part,) = eventually(
        lambda: written(local, local.outputs["ScoresBucketName"], f"{folder.root}scores/")
    )
    table = arrow_io.read_parquet(io.BytesIO(part)).read_all()
    assert table["kept"].to_pylist() == [row["kept"] for row in EXPECTED]
    assert table["total"].to_pylist() == [row["total"] for row in EXPECTED]


def test_on_a_stream(local: LocalAws) -> None:
    record = {"model": "tokens", "records": ROWS}
    local.client("kinesis").put_record(
        StreamName=local.outputs["EventsStreamName"], Data=orjson.dumps(record), PartitionKey="a"
    )
    bucket = local.outputs["StreamBucketName"]
    (part,) = eventually(lambda: written(local, bucket, "predictions/tokens/"))
    table = arrow_io.read_parquet(io.BytesIO(part)).read_all()
    assert table["kept"].to_pylist() == [row["kept"] for row in EXPECTED]


def written(local: LocalAws, bucket: str, prefix: str) -> list[bytes]:
    """The objects under a prefix."""
    s3 = local.client("s3")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]
    return [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
