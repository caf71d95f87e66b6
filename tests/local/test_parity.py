"""The same rows give the golden outputs on every path: over HTTP, and as dropped files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from arro3 import io as arrow_io
from tests.kits.local_aws import LocalAws, eventually
from typer.testing import CliRunner

from quintet.batch.plans import RunPaths, run_name
from quintet.contract import Contract
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_publish.kit import contract_of

ROOT = Path(__file__).parents[2]
MODELS = ("fraud", "churn", "tickets")


def quintet(*words: str, state: Path) -> None:
    result = CliRunner().invoke(app, [*words, "--state", str(state)])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def golden(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The golden vectors of the published models; the stored columns are in the store."""
    found = {}
    for name in MODELS:
        folder = ROOT / "models" / name
        quintet("publish", str(folder), state=local_aws.state)
        found[name] = json.loads((folder / "golden.json").read_text())
    vectors = found["fraud"]
    contract = contract_of(ROOT / "models/fraud")
    stored = [feature.name for feature in contract.stored]
    path = tmp_path_factory.mktemp("features") / "golden.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([contract.entity, *stored])
        columns = [vectors["columns"][name] for name in stored]
        writer.writerows(zip(vectors["entities"], *columns, strict=True))
    quintet("features", "load", str(path), "--model", "fraud", state=local_aws.state)
    return found


def records(contract: Contract, vectors: dict[str, Any]) -> list[dict[str, Any]]:
    """The golden rows as a caller sends them: without what the store holds."""
    names = [feature.name for feature in contract.requested]
    columns = {name: vectors["columns"][name] for name in names}
    if contract.entity:
        columns[contract.entity] = vectors["entities"]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def without_gaps(contract: Contract, vectors: dict[str, Any]) -> dict[str, Any]:
    """The golden rows that a CSV can carry: to it, an empty text is a missing value."""
    texts = [f.name for f in contract.requested if f.dtype == "string"]
    size = len(next(iter(vectors["columns"].values())))
    rows = [i for i in range(size) if all(vectors["columns"][name][i] for name in texts)]
    chosen = {
        kind: {name: [values[i] for i in rows] for name, values in vectors[kind].items()}
        for kind in ("columns", "outputs")
    }
    entities = [vectors["entities"][i] for i in rows] if contract.entity else []
    return {**vectors, **chosen, "entities": entities}


def same(contract: Contract, vectors: dict[str, Any], outputs: Mapping[str, Any]) -> None:
    """Every output of every row is the golden one."""
    for output in contract.outputs:
        expected = np.array(vectors["outputs"][output.name])
        found = np.array(outputs[output.name])
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=0, atol=vectors["tolerance"])
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", MODELS)
def test_over_http(local_aws: LocalAws, golden: dict[str, Any], name: str) -> None:
    contract, vectors = contract_of(ROOT / "models" / name), golden[name]
    response = urllib3.request(
        "POST",
        f"{local_aws.api_url}/models/{name}/predict",
        json={"records": records(contract, vectors)},
        timeout=30,
    )
    assert response.status == 200, response.data
    predictions = response.json()["predictions"]
    assert not any(row.get("fallback") for row in predictions)
    found: dict[str, list[Any]] = {}
    for output in contract.outputs:
        values = [row[output.name] for row in predictions]
        found[output.name] = [list(v.values()) if isinstance(v, dict) else v for v in values]
    same(contract, vectors, found)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("name", MODELS)
def test_as_a_dropped_file(
    local_aws: LocalAws, golden: dict[str, Any], name: str, form: str
) -> None:
    contract, vectors = contract_of(ROOT / "models" / name), golden[name]
    if form == "csv":
        vectors = without_gaps(contract, vectors)
    rows = records(contract, vectors)
    bucket, key = local_aws.outputs["InboxBucketName"], f"{name}/golden.{form}"
    body = as_csv(rows) if form == "csv" else as_jsonl(rows)
    put = local_aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    reader = RunReader(Stage.open("local", local_aws.state))
    folder = RunPaths(name, run_name(bucket, key, put["VersionId"]))
    report = eventually(lambda: reader.report(folder), 60)
    assert report["counts"] == {**report["counts"], "rows": len(rows), "scored": len(rows)}
    (part,) = reader.store.keys(f"{folder.root}scores/")
    table = arrow_io.read_parquet(reader.store.get(part) or b"").read_all()
    columns = {n: table.column(n).to_pylist() for n in table.schema.names}
    found = {}
    for output in contract.outputs:
        parts = [values for n, values in columns.items() if n.startswith(f"{output.name}_")]
        found[output.name] = (
            [list(row) for row in zip(*parts, strict=True)]
            if len(output.shape) > 1
            else columns[output.name]
        )
    same(contract, vectors, found)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
