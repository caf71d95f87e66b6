"""A model as its exporter made it: missing values, columns and tensors of other names, each path.

What onnxruntime itself answers for NaN is the answer everywhere.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import urllib3
from arro3 import io as arrow_io
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.trees import trees
from typer.testing import CliRunner

from quintet.batch.plans import RunPaths, run_name
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_publish.model_yaml import read_contract

SECONDS = 60
INCOME = "Annual Income ($)"
YAML = f"""\
name: gaps
version: 1
task: regression
entity: customer
features:
  - {{name: income, column: {INCOME}, dtype: float32, missing: nan}}
  - {{name: age, dtype: float32, missing: nan}}
  - {{name: spent, dtype: float32, source: store, missing: nan, max_age: 86400}}
  - {{name: v, dtype: float32, shape: [2], missing: nan}}
inputs:
  - {{name: input, dtype: float32, shape: [-1, 3], features: [income, age, spent]}}
  - {{name: "serving_default_v:0", dtype: float32, shape: [-1, 2], features: [v]}}
outputs:
  - {{name: score, dtype: float32, shape: [-1, 1], meaning: score}}
  - {{name: "/head/out:0", dtype: float32, shape: [-1, 1], meaning: value}}
"""
NAMES = ("score", "/head/out:0")
#: income, age, and the elements of v; no customer has spent anything
ROWS: list[tuple[float | None, ...]] = [
    (0.25, 0.75, 0.25, 0.75),
    (None, 0.25, None, 0.25),
    (0.75, None, 0.75, None),
    (None, None, None, None),
]


def answers() -> dict[str, list[float]]:
    """What onnxruntime gives for NaN."""
    rows = np.array(ROWS, np.float32)
    contract = read_contract(YAML.encode())
    session = onnxruntime.InferenceSession(trees(contract), providers=["CPUExecutionProvider"])
    table = np.column_stack([rows[:, :2], np.full(len(rows), np.nan, np.float32)])
    found = session.run(NAMES, {"input": table, "serving_default_v:0": rows[:, 2:].copy()})
    return {name: values[:, 0].tolist() for name, values in zip(NAMES, found, strict=True)}


ANSWERS = answers()


def quintet(local: LocalAws, *words: str) -> None:
    result = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def local(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """The local AWS with the model; its golden rows write missing values as null."""
    folder = tmp_path_factory.mktemp("gaps")
    (folder / "model.yaml").write_text(YAML)
    (folder / "model.onnx").write_bytes(trees(read_contract(YAML.encode())))
    columns = {
        "income": [row[0] for row in ROWS],
        "age": [row[1] for row in ROWS],
        "spent": [None for _ in ROWS],
        "v": [[*row[2:]] for row in ROWS],
    }
    outputs = {name: [[value] for value in values] for name, values in ANSWERS.items()}
    (folder / "golden.json").write_text(json.dumps({"columns": columns, "outputs": outputs}))
    quintet(local_aws, "publish", str(folder))
    return local_aws


def record(number: int, *, absent: bool = False) -> dict[str, Any]:
    income, age, *v = ROWS[number]
    found = {"customer": f"c{number}", INCOME: income, "age": age, "v": v}
    return {n: value for n, value in found.items() if value is not None or not absent}


def ask(local: LocalAws, path: str, body: Any, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {
        "Content-Type": "application/json",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    response = urllib3.request(
        "POST", f"{local.api_url}{path}", body=raw, headers=given, timeout=30
    )
    assert response.status in (200, 202), response.data
    return response.json()


def narrow(columns: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Columns as float32, which JSON writes with as many digits as it has."""
    return {name: np.array(columns[name], np.float32).tolist() for name in NAMES}


def by_name(predictions: list[Mapping[str, Any]]) -> dict[str, list[float]]:
    return narrow({name: [one[name] for one in predictions] for name in NAMES})


@pytest.mark.parametrize("absent", [False, True])
def test_as_records_and_as_a_job(local: LocalAws, absent: bool) -> None:
    body = {"records": [record(number, absent=absent) for number in range(len(ROWS))]}
    found = ask(local, "/models/gaps/predict", body)
    assert by_name(found["predictions"]) == ANSWERS
    job = ask(local, "/models/gaps/predict", body, Prefer="respond-async")["id"]

    def settled() -> Any:
        state = urllib3.request("GET", f"{local.api_url}/jobs/{job}", timeout=30).json()
        return state if state["state"] == "DONE" else None

    assert by_name(eventually(settled, SECONDS)["result"]["body"]["predictions"]) == ANSWERS


def test_in_sagemakers_csv(local: LocalAws) -> None:
    cells = [["" if v is None else str(v) for v in row] for row in ROWS]
    lines = "".join(f"c{n}," + ",".join(row) + "\n" for n, row in enumerate(cells))
    found = ask(local, "/endpoints/gaps/invocations", lines.encode(), Content_Type="text/csv")
    assert by_name(found["predictions"]) == ANSWERS


def test_as_tensors(local: LocalAws) -> None:
    count = len(ROWS)
    columns = [list(column) for column in zip(*ROWS, strict=True)]
    v = [value for row in ROWS for value in row[2:]]
    inputs = [
        {"name": "customer", "datatype": "BYTES", "shape": [count], "data": ["c"] * count},
        {"name": INCOME, "datatype": "FP64", "shape": [count], "data": columns[0]},
        {"name": "age", "datatype": "FP32", "shape": [count, 1], "data": columns[1]},
        {"name": "serving_default_v:0", "datatype": "FP32", "shape": [count, 2], "data": v},
    ]
    outputs = ask(local, "/v2/models/gaps/infer", {"inputs": inputs})["outputs"]
    assert narrow({one["name"]: one["data"] for one in outputs}) == ANSWERS


def test_on_the_stream(local: LocalAws, tmp_path: Path) -> None:
    lines = [{**record(n), "customer": f"s{n}"} for n in range(len(ROWS))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    quintet(local, "stream", "send", str(tmp_path / "rows.jsonl"), "gaps")

    def scored() -> Any:
        urls = [f"{local.api_url}/scores/gaps/s{n}" for n in range(len(ROWS))]
        found = [urllib3.request("GET", url, timeout=30) for url in urls]
        return [r.json()["outputs"] for r in found] if {r.status for r in found} == {200} else None

    assert by_name(eventually(scored, SECONDS)) == ANSWERS


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_as_a_dropped_file(local: LocalAws, form: str) -> None:
    bucket, key = local.outputs["InboxBucketName"], f"gaps/rows.{form}"
    if form == "csv":
        cells = [["" if v is None else str(v) for v in row] for row in ROWS]
        lines = [f"customer,{INCOME},age,v[0],v[1]"]
        lines += [f"c{n}," + ",".join(row) for n, row in enumerate(cells)]
    else:
        lines = [json.dumps(record(n)) for n in range(len(ROWS))]
    body = "".join(line + "\n" for line in lines).encode()
    put = local.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    reader = RunReader(Stage.open("local", local.state))
    folder = RunPaths("gaps", run_name(bucket, key, put["VersionId"]))
    report = eventually(lambda: reader.report(folder), SECONDS)
    assert (report["counts"]["rows"], report["counts"]["scored"]) == (len(ROWS), len(ROWS))
    (part,) = reader.store.keys(f"{folder.root}scores/")
    table = arrow_io.read_parquet(io.BytesIO(reader.store.get(part) or b"")).read_all()
    assert {n: table.column(n).to_pylist() for n in NAMES} == ANSWERS
