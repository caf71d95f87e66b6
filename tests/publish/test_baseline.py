"""The baseline: distributions of training data, from CSV as from Parquet."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet
from tests.kits.packages import package

from quintet.contract import Contract, Output
from quintet.monitoring.baseline import baseline_of
from quintet_publish.model_yaml import read_contract
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare
from quintet_publish.training_data import labels_of, read_training_data

YAML = b"""
name: mixed
version: 1
task: regression
features:
  - {name: number, dtype: float32}
  - {name: flag, dtype: bool}
  - {name: colour, dtype: string, categories: [red, green]}
  - {name: code, dtype: int64, categories: [1, 2]}
  - {name: note, dtype: string}
  - {name: pixels, dtype: float32, shape: [2]}
inputs:
  - {name: number, dtype: float32, shape: [-1]}
  - {name: flag, dtype: bool, shape: [-1]}
  - {name: colour, dtype: string, shape: [-1]}
  - {name: code, dtype: int64, shape: [-1]}
  - {name: note, dtype: string, shape: [-1]}
  - {name: pixels, dtype: float32, shape: [-1, 2]}
outputs:
  - {name: y, dtype: float32, shape: [-1], meaning: score}
"""

COLUMNS: dict[str, Any] = {
    "number": [1.0, 2.0, 3.0, None],
    "flag": [True, False, True, True],
    "colour": ["red", "red", "green", None],
    "code": [1, 2, 2, 2],
    "note": ["a", "b", "a", "c"],
    "pixels": [[0.0, 1.0], [1.0, 1.0], None, [0.0, 0.0]],
}

QUANTILES = ["0.0", "0.01", "0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95", "0.99", "1.0"]


@pytest.fixture
def contract() -> Contract:
    return read_contract(YAML)


def test_each_kind_of_feature_has_its_form(contract: Contract) -> None:
    baseline = baseline_of(contract, COLUMNS)
    assert baseline["rows"] == 4
    features = baseline["features"]
    assert features["flag"] == {
        "missing": 0.0,
        "kind": "category",
        "counts": {"true": 3, "false": 1},
        "others": 0,
    }
    assert features["colour"] == {
        "missing": 0.25,
        "kind": "category",
        "counts": {"red": 2, "green": 1},
        "others": 0,
    }
    assert features["code"]["counts"] == {"2": 3, "1": 1}
    assert features["note"]["counts"] == {"a": 2, "b": 1, "c": 1}
    number = features["number"]
    assert (number["kind"], number["missing"], number["mean"]) == ("number", 0.25, 2.0)
    assert list(number["quantiles"]) == QUANTILES
    assert [number["quantiles"][q] for q in ("0.0", "0.5", "1.0")] == [1.0, 2.0, 3.0]
    assert (number["edges"][0], number["edges"][-1], sum(number["counts"])) == (1.0, 3.0, 3)
    assert (features["pixels"]["mean"], features["pixels"]["missing"]) == (0.5, 0.25)
    assert json.loads(json.dumps(baseline, allow_nan=False)) == baseline


def test_bins_part_the_data_evenly(contract: Contract) -> None:
    values = np.random.default_rng(0).lognormal(size=10_000)
    found = baseline_of(contract, {"number": values})["features"]["number"]
    assert len(found["counts"]) == 20
    assert set(found["counts"]) == {500}
    assert found["quantiles"]["0.25"] == pytest.approx(np.quantile(values, 0.25))


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [([], [], []), ([5.0] * 3, [5.0], [3]), ([0.0] * 99 + [1.0], [0.0, 1.0, 1.0], [99, 1])],
)
def test_odd_distributions(
    contract: Contract, values: list[float], edges: list[float], counts: list[int]
) -> None:
    found = baseline_of(contract, {"number": values})["features"]["number"]
    assert (found["edges"], found["counts"]) == (edges, counts)


def test_values_that_are_not_finite_count_as_missing(contract: Contract) -> None:
    values = np.array([1.0, np.nan, np.inf, -np.inf])
    found = baseline_of(contract, {"number": values})["features"]["number"]
    assert (found["missing"], found["mean"]) == (0.75, 1.0)


def test_strings_of_many_values_are_texts(contract: Contract) -> None:
    notes = ["x" * (n % 7 + 1) + str(n) for n in range(100)]
    found = baseline_of(contract, {"note": notes})["features"]["note"]
    assert (found["kind"], found["different"], sum(found["counts"])) == ("text", 100, 100)
    assert "x" not in json.dumps(found).replace("text", "")


def test_sensitive_strings_are_not_shown() -> None:
    contract = read_contract(YAML.replace(b"note, dtype", b"note, sensitive: true, dtype", 1))
    found = baseline_of(contract, {"note": ["canary", "canary"]})["features"]["note"]
    assert (found["kind"], found["mean"]) == ("text", 6.0)
    assert "canary" not in json.dumps(found)


def test_categories_beyond_the_cap_are_counted_together(contract: Contract) -> None:
    codes = [*range(150), 7]
    found = baseline_of(contract, {"code": codes})["features"]["code"]
    assert len(found["counts"]) == 100
    assert (found["counts"]["7"], found["others"]) == (2, 50)


# ---- files ---------------------------------------------------------------------------------------


def small() -> Contract:
    return read_contract(
        YAML[: YAML.index(b"  - {name: code")]
        + b"""inputs:
  - {name: number, dtype: float32, shape: [-1]}
  - {name: flag, dtype: bool, shape: [-1]}
  - {name: colour, dtype: string, shape: [-1]}
outputs:
  - {name: y, dtype: float32, shape: [-1], meaning: score}
"""
    )


def test_csv_and_parquet_give_the_same_baseline() -> None:
    text = 'colour,number,flag,extra\nred,1.5,true,x\n,2,FALSE,y\n"gr\neen",,1,z\n'
    target = io.BytesIO()
    table = Table.from_arrays(
        [
            Array(["red", None, "gr\neen"], DataType.utf8()),
            Array([1.5, 2.0, None], DataType.float64()),
            Array([True, False, True], DataType.bool()),
            Array([1, 2, 3], DataType.int64()),
        ],
        names=["colour", "number", "flag", "extra"],
    )
    write_parquet(table, target)
    parquet, *_ = read_training_data(small(), "t.parquet", target.getvalue())
    csv, *_ = read_training_data(small(), "t.csv", text.encode())
    assert baseline_of(small(), csv) == baseline_of(small(), parquet)
    assert baseline_of(small(), csv)["features"]["colour"]["counts"] == {"gr\neen": 1, "red": 1}


def test_training_data_has_the_contracts_decimal_separator() -> None:
    contract = replace(small(), decimal=",", training_target="y")
    text = b"colour;number;flag;y\nred,1;1,5;true;0,25\nblue;1.234,5;0;1\n"
    columns, answers, _ = read_training_data(contract, "t.csv", text)
    assert columns == {"colour": ["red,1", "blue"], "number": [1.5, 1234.5], "flag": [True, False]}
    assert answers == [0.25, 1.0]


@pytest.mark.parametrize(
    ("path", "content", "found"),
    [
        ("t.parquet", b"PAR1 but not really", "t.parquet: cannot be read ("),
        ("t.csv", b"number,flag\n1,true\n", "t.csv: expected a column for every feature, colour "),
        ("t.csv", b"number,flag,colour\n1\n", "t.csv: line 2: expected 3 cells, got 1"),
        ("t.csv", b"number,flag,colour\nx,1,red\n", "t.csv: number: expected float32, got 'x'"),
        ("t.csv", b"\xff", "t.csv: expected text in UTF-8; "),
        ("t.csv", b"", "t.csv: expected a column for every feature, number has none"),
    ],
)
def test_a_bad_file_is_named(path: str, content: bytes, found: str) -> None:
    with pytest.raises(PackageError) as caught:
        read_training_data(small(), path, content)
    assert str(caught.value).startswith(found)


def test_publishing_fills_the_baseline(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: rows.csv\n")
    (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    release = prepare(folder, lambda step, detail: None)
    baseline = json.loads(release.files["baseline.json"])
    assert (baseline["rows"], baseline["features"]["a"]["mean"]) == (2, 2.0)


def test_publishing_scores_the_training_data_for_the_baseline_of_outputs(tmp_path: Path) -> None:
    lines = "training_data: rows.csv\ntraining_target: right\nentity: customer\n"
    folder = package(tmp_path / "p", extra=lines)
    written = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(written.replace("meaning: score", "meaning: value"))
    text = "\n".join(f"c{n % 50},{n % 7},{n % 3},{2 * (n % 7)}" for n in range(100))
    (folder / "rows.csv").write_text(f"customer,a,b,right\n{text}\n")
    release = prepare(folder, lambda step, detail: None)
    baseline = json.loads(release.files["baseline.json"])
    assert (baseline["rows"], baseline["entities"]["rows"]) == (100, 50)
    for part, rows in ((baseline, 100), (baseline["entities"], 50)):
        scores = [2 * (n % 7) + n % 3 for n in range(rows)]
        assert part["outputs"]["rows"] == rows
        (output,) = part["outputs"]["columns"].values()
        assert output["mean"] == pytest.approx(np.mean(scores))
        assert sum(output["counts"]) == rows
        assert part["labels"]["rows"] == rows
        assert part["labels"]["columns"]["label"]["mean"] == np.mean(
            [2 * (n % 7) for n in range(rows)]
        )
    assert release.digest == prepare(folder, lambda step, detail: None).digest


def test_labels_of_training_data_are_names_of_classes() -> None:
    contract = replace(
        small(),
        outputs=(
            Output(
                name="label", dtype="int64", shape=(-1,), meaning="label", classes=("no", "yes")
            ),
        ),
    )
    told = labels_of(contract, ["yes", "0", 1.0, True, None, "maybe"])
    assert told == ["yes", "no", "yes", "yes", None, None]
    assert labels_of(contract, None) is None
    assert labels_of(replace(contract, outputs=()), ["yes"]) is None
