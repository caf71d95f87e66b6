"""Train the digits' reader from the committed tables: `python models/digits/train.py`.

Seeded. Writes model.onnx, golden.json and metrics.json (to `--out`, or beside this file) and
prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from quintet.contract import Contract
from quintet_publish.kit import Columns, clean, contract_of, predict, read_table, save

HERE = Path(__file__).parent
DATA = HERE / "data"
SEED = 20260101
HIDDEN = 256

Network = tuple[NDArray[Any], LogisticRegression]


def read(name: str) -> dict[str, NDArray[Any]]:
    """A table of data/, its images of 8 rows of 8."""
    columns = read_table(DATA / f"{name}.parquet")
    return {**columns, "image": columns["image"].reshape(-1, 8, 8)}


def hidden(weights: NDArray[Any], images: NDArray[Any]) -> NDArray[Any]:
    """What the hidden layer makes of images, (images, HIDDEN) float64."""
    pixels = images.reshape(len(images), 64).astype(np.float64) / 16
    found: NDArray[Any] = np.maximum(pixels @ weights, 0)
    return found


def fit(images: NDArray[Any], digits: NDArray[Any]) -> Network:
    """A hidden layer of drawn weights, and on it a logistic regression that is trained.

    Training both would end in one of many optima, and another machine's rounding in another
    one. This has one optimum, and Newton's method ends within 1e-10 of it.
    """
    weights = np.random.default_rng(SEED).normal(scale=0.5, size=(64, HIDDEN))
    weights = weights.astype(np.float32).astype(np.float64)  # as the graph has them
    classifier = LogisticRegression(C=0.3, solver="newton-cg", tol=1e-10, max_iter=1000)
    return weights, classifier.fit(hidden(weights, images), digits)


def to_graph(network: Network, contract: Contract) -> onnx.ModelProto:
    """The network as one graph: images in, label and probabilities out."""
    weights, classifier = network
    held = {
        "hidden_weights": weights / 16,
        "output_weights": classifier.coef_.T,
        "output_bias": classifier.intercept_,
    }
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", 8, 8])
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10]),
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["pixels"], axis=1),
        helper.make_node("MatMul", ["pixels", "hidden_weights"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "output_weights", "output_bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in held.items()]
    graph = helper.make_graph(nodes, contract.name, [image], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return clean(model, contract)


def measure(contract: Contract, model: onnx.ModelProto, network: Network) -> dict[str, float]:
    """Metrics on images that the training never saw, of the graph as served."""
    held_out = read("held_out")
    outputs = predict(model, contract, held_out)
    truth, label = held_out["digit"], outputs["label"]
    weights, classifier = network
    trained = classifier.predict_proba(hidden(weights, held_out["image"]))
    return {
        "held_out_images": len(truth),
        "accuracy": float(accuracy_score(truth, label)),
        "macro_f1": float(f1_score(truth, label, average="macro")),
        "same_label_as_trainer": float((trained.argmax(axis=1) == label).mean()),
        "largest_gap_to_trainer": float(np.abs(trained - outputs["probabilities"]).max()),
    }


def golden_rows() -> Columns:
    """Two held-out images of each digit, then the edges: no ink, all ink, a chessboard."""
    held_out = read("held_out")
    images = [i for digit in range(10) for i in held_out["image"][held_out["digit"] == digit][:2]]
    board = np.indices((8, 8)).sum(axis=0) % 2 * 16
    edges = [np.zeros((8, 8)), np.full((8, 8), 16), board]
    return {"image": np.stack([*images, *edges]).astype(np.float32)}


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract = contract_of(HERE)
    past = read("training")
    network = fit(past["image"], past["digit"])
    model = to_graph(network, contract)
    metrics = measure(contract, model, network)
    save(out, contract, model, golden=golden_rows(), metrics=metrics)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
