"""Train the checkout's model from the committed tables: `python models/fraud/train.py`.

Seeded and on one thread. Writes model.onnx, golden.json and metrics.json (to `--out`, or
beside this file) and prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import average_precision_score, roc_auc_score

from quintet.contract import Contract, Fallback
from quintet_publish.kit import Columns, clean, contract_of, predict, read_table, save

HERE = Path(__file__).parent
DATA = HERE / "data"
SEED = 20110901
REVIEW = 0.15  # the probability above which the label is 1


def matrix(contract: Contract, columns: Columns) -> NDArray[np.float32]:
    """The graph's input: (rows, features) float32."""
    return np.stack([columns[f.name] for f in contract.features], axis=1).astype(np.float32)


def fit(features: NDArray[np.float32], target: NDArray[Any]) -> lightgbm.LGBMClassifier:
    """The classifier, the same at every run."""
    classifier = lightgbm.LGBMClassifier(
        n_estimators=100,
        num_leaves=15,
        learning_rate=0.05,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        random_state=SEED,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )
    return classifier.fit(features, target)


def to_graph(classifier: lightgbm.LGBMClassifier, contract: Contract) -> onnx.ModelProto:
    """The classifier as a graph whose label follows REVIEW.

    LightGBM's own label follows 0.5, which an order in fifteen never reaches, and is declared
    as one value whatever the rows.
    """
    (features,) = contract.inputs
    kinds = [(features.name, FloatTensorType([None, features.shape[1]]))]
    model = convert_lightgbm(classifier, initial_types=kinds, zipmap=False, target_opset=15)
    graph = model.graph
    (trees,) = (node for node in graph.node if node.op_type == "TreeEnsembleClassifier")
    round_down(trees, classifier)
    for node in graph.node:
        node.output[:] = ["label_at_half" if name == "label" else name for name in node.output]
    one = onnx.numpy_helper.from_array
    graph.initializer.extend(
        [one(np.array(1), "cancelled_column"), one(np.array(REVIEW, np.float32), "review_above")]
    )
    graph.node.extend(
        [
            onnx.helper.make_node(
                "Gather", ["probabilities", "cancelled_column"], ["cancelled"], axis=1
            ),
            onnx.helper.make_node("Greater", ["cancelled", "review_above"], ["review"]),
            onnx.helper.make_node("Cast", ["review"], ["label"], to=onnx.TensorProto.INT64),
        ]
    )
    return clean(model, contract)


def round_down(trees: onnx.NodeProto, classifier: lightgbm.LGBMClassifier) -> None:
    """Make each split the largest float32 that is not above LightGBM's own, which is a double.

    The converter takes the nearest: that may be the very value of a row that was above the split,
    39.9 for 39.8999996, and the row would go the other way.
    """
    table = classifier.booster_.trees_to_dataframe()
    exact = table.threshold.dropna().to_numpy()
    features = table.split_feature.dropna().str.removeprefix("Column_").astype(int)
    nearest = exact.astype(np.float32)
    below = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    lower = dict(zip(zip(features, nearest.tolist(), strict=True), below.tolist(), strict=True))
    held = {attribute.name: attribute for attribute in trees.attribute}
    splits = zip(held["nodes_featureids"].ints, held["nodes_values"].floats, strict=True)
    held["nodes_values"].floats[:] = [lower.get(split, split[1]) for split in splits]


def by_rule(fallback: Fallback, amount: NDArray[Any]) -> NDArray[np.float64]:
    """The fallback rule's probability of a cancellation, (rows,)."""
    answers: Any = [(rule.above, rule.outputs["probabilities"]) for rule in fallback.rules]
    otherwise: Any = fallback.otherwise["probabilities"]
    probability = np.full(len(amount), otherwise[1])
    for above, probabilities in reversed(answers):
        probability[amount > above] = probabilities[1]
    return probability


def measure(
    contract: Contract, model: onnx.ModelProto, classifier: lightgbm.LGBMClassifier
) -> dict[str, float]:
    """Metrics on the held-out orders, of the graph as it will be served."""
    held_out = read_table(DATA / "held_out.parquet")
    outputs = predict(model, contract, held_out)
    truth, scores = held_out["cancelled"], outputs["probabilities"][:, 1]
    review = outputs["label"] == 1
    trained = np.asarray(classifier.predict_proba(matrix(contract, held_out)))[:, 1]
    days = {
        f"mean_probability_at_{number}_today": float(
            predict(model, contract, {**held_out, "orders_today": np.full(len(truth), number)})[
                "probabilities"
            ][:, 1].mean()
        )
        for number in (0, 1, 5)
    }
    return {
        "held_out_orders": len(truth),
        "held_out_rate": float(truth.mean()),
        "mean_probability": float(scores.mean()),
        "auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "review_share": float(review.mean()),
        "review_precision": float(truth[review].mean()),
        "review_recall": float(truth[review].sum() / truth.sum()),
        "largest_gap_to_trainer": float(np.abs(scores - trained).max()),
        **days,
    }


def measure_rule(fallback: Fallback) -> dict[str, float]:
    """The rates that the fallback rule rests on, and how it does on held-out first orders."""
    past = read_table(DATA / "first_orders_training.parquet")
    held_out = read_table(DATA / "first_orders_held_out.parquet")
    edges = [0.0, *sorted(rule.above or 0.0 for rule in fallback.rules), np.inf]
    rates = {}
    for low, high in itertools.pairwise(edges):
        band = (past["amount"] > low) & (past["amount"] <= high)
        rates[f"first_orders_rate_above_{low:g}"] = float(past["cancelled"][band].mean())
    scores = by_rule(fallback, held_out["amount"])
    return {**rates, "first_orders_rule_auc": float(roc_auc_score(held_out["cancelled"], scores))}


def golden_rows(contract: Contract) -> tuple[Columns, list[str]]:
    """Some held-out orders, then the edges: lowest, highest and default of every feature."""
    held_out = read_table(DATA / "held_out.parquet")
    picked = np.linspace(0, len(held_out["cancelled"]) - 1, 16).astype(int)
    columns = {}
    for feature in contract.features:
        values = held_out[feature.name]
        low, high = feature.range or (0, 1)
        middle = np.median(values)
        default = middle if feature.default is None else feature.default
        edges = [low, high, default, middle]
        columns[feature.name] = np.append(values[picked], edges).astype(np.float32)
    return columns, [f"golden-{row}" for row in range(len(picked) + 4)]


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract = contract_of(HERE)
    past = read_table(DATA / "training.parquet")
    classifier = fit(matrix(contract, past), past["cancelled"])
    model = to_graph(classifier, contract)
    assert contract.fallback is not None
    metrics = measure(contract, model, classifier) | measure_rule(contract.fallback)
    rows, entities = golden_rows(contract)
    save(out, contract, model, golden=rows, metrics=metrics, entities=entities)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
