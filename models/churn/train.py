"""Train the churn model from the committed tables: `python models/churn/train.py`.

Seeded and on one thread. Writes model.onnx, golden.json and metrics.json (to `--out`, or
beside this file) and prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from quintet.contract import Contract
from quintet_publish.kit import Columns, clean, contract_of, predict, read_table, save

HERE = Path(__file__).parent
DATA = HERE / "data"
SEED = 20110901


def frame(contract: Contract, columns: Columns) -> pd.DataFrame:
    """The features in the order of the graph's inputs, numbered: the converter goes by place."""
    names = [name for i in contract.inputs for name in i.features or (i.name,)]
    return pd.DataFrame(dict(enumerate(columns[name] for name in names)))


def fit(contract: Contract, features: pd.DataFrame, target: NDArray[Any]) -> Pipeline:
    """Countries one-hot in the contract's order, then trees; the same at every run."""
    *numbers, country = features.columns
    categories = [list(contract.by_name["country"].categories or ())]
    columns = ColumnTransformer(
        [
            ("numbers", "passthrough", numbers),
            ("country", OneHotEncoder(categories=categories, sparse_output=False), [country]),
        ]
    )
    trees = lightgbm.LGBMClassifier(
        n_estimators=100,
        num_leaves=8,
        learning_rate=0.05,
        min_child_samples=100,
        random_state=SEED,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )
    return Pipeline([("columns", columns), ("trees", trees)]).fit(features, target)


def to_graph(pipeline: Pipeline, contract: Contract) -> onnx.ModelProto:
    """The pipeline as one graph: numbers and text in, label and probabilities out."""
    update_registered_converter(
        lightgbm.LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"zipmap": [False], "nocl": [True, False]},
    )
    kinds = {"float32": FloatTensorType, "string": StringTensorType}
    model = to_onnx(
        pipeline,
        initial_types=[(i.name, kinds[i.dtype]([None, i.shape[1]])) for i in contract.inputs],
        options={lightgbm.LGBMClassifier: {"zipmap": False}},
        target_opset={"": 15, "ai.onnx.ml": 3},
    )
    return clean(model, contract)


def measure(contract: Contract, model: onnx.ModelProto, pipeline: Pipeline) -> dict[str, float]:
    """Metrics on the held-out month, of the graph as it will be served."""
    held_out = read_table(DATA / "held_out.parquet")
    outputs = predict(model, contract, held_out)
    truth, scores = held_out["gone"], outputs["probabilities"][:, 1]
    trained = np.asarray(pipeline.predict_proba(frame(contract, held_out)))[:, 1]
    return {
        "held_out_customers": len(truth),
        "held_out_rate": float(truth.mean()),
        "auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "accuracy": float(accuracy_score(truth, outputs["label"])),
        "largest_gap_to_trainer": float(np.abs(scores - trained).max()),
    }


def golden_rows(contract: Contract) -> tuple[Columns, list[str]]:
    """Held-out customers one for each country, then the lowest, highest and default values."""
    held_out = read_table(DATA / "held_out.parquet")
    countries = contract.by_name["country"].categories or ()
    picked = np.linspace(0, len(held_out["gone"]) - 1, len(countries)).astype(int)
    columns: dict[str, NDArray[Any]] = {}
    for feature in contract.features:
        if feature.name == "country":
            columns["country"] = np.array([*countries, *["United Kingdom"] * 3], dtype=object)
            continue
        values = held_out[feature.name]
        middle = np.median(values)
        default = middle if feature.default is None else feature.default
        edges = [*(feature.range or (0, 1)), default]
        columns[feature.name] = np.append(values[picked], edges).astype(np.float32)
    return columns, [f"golden-{row}" for row in range(len(columns["country"]))]


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract = contract_of(HERE)
    past = read_table(DATA / "training.parquet")
    pipeline = fit(contract, frame(contract, past), past["gone"])
    model = to_graph(pipeline, contract)
    metrics = measure(contract, model, pipeline)
    rows, entities = golden_rows(contract)
    save(out, contract, model, golden=rows, metrics=metrics, entities=entities)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
