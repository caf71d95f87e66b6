"""Train the tickets' router from the committed tables: `python models/tickets/train.py`.

Deterministic. Writes model.onnx, golden.json and metrics.json (to `--out`, or beside this
file) and prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import Pipeline

from quintet.contract import Contract
from quintet_publish.kit import Columns, clean, contract_of, predict, read_table, save

HERE = Path(__file__).parent
DATA = HERE / "data"

#: A pattern that onnxruntime's tokenizer (RE2, in bytes) and Python's `re` read alike: with
#: it the graph agrees with the trainer, with scikit-learn's default it does not.
WORD = "[a-zA-Z]+"


def fit(texts: NDArray[Any], teams: NDArray[Any]) -> Pipeline:
    """TF-IDF of words, then logistic regression.

    Newton's method ends within 1e-10 of the one optimum, so that another machine's rounding
    ends at the same coefficients; the default solver stops where probabilities are 0.02 off.
    """
    words = TfidfVectorizer(token_pattern=WORD, min_df=5)
    classifier = LogisticRegression(C=4.0, solver="newton-cg", tol=1e-10)
    return Pipeline([("words", words), ("classifier", classifier)]).fit(texts, teams)


def to_graph(pipeline: Pipeline, contract: Contract) -> onnx.ModelProto:
    """The pipeline as one graph: text in, label and probabilities out."""
    model = to_onnx(
        pipeline,
        initial_types=[("text", StringTensorType([None, 1]))],
        options={TfidfVectorizer: {"tokenexp": WORD}, LogisticRegression: {"zipmap": False}},
        target_opset={"": 15, "ai.onnx.ml": 3, "com.microsoft": 1},
    )
    return clean(model, contract)


def measure(contract: Contract, model: onnx.ModelProto, pipeline: Pipeline) -> dict[str, float]:
    """Metrics on texts about garments that the training never saw, of the graph as served."""
    held_out = read_table(DATA / "held_out.parquet")
    outputs = predict(model, contract, held_out)
    truth, label = held_out["team"], outputs["label"]
    gap = np.abs(pipeline.predict_proba(held_out["text"]) - outputs["probabilities"])
    return {
        "held_out_texts": len(truth),
        "held_out_largest_team": max(float((truth == team).mean()) for team in set(truth)),
        "accuracy": float(accuracy_score(truth, label)),
        "macro_f1": float(f1_score(truth, label, average="macro")),
        "same_label_as_trainer": float((pipeline.predict(held_out["text"]) == label).mean()),
        "largest_gap_to_trainer": float(gap.max()),
    }


def golden_rows(contract: Contract) -> Columns:
    """Two held-out texts a team, then the edges: empty, unknown words, other scripts, long."""
    held_out = read_table(DATA / "held_out.parquet")
    classes = contract.outputs[0].class_names or ()
    texts = [text for team in classes for text in held_out["text"][held_out["team"] == team][:2]]
    edges = [
        "",
        "   ",
        "DRESS",
        'a dress, a skirt;\r\na "blouse"\tand a coat',
        "xyzzy plugh",
        "très jolie robe, déçue du décolleté",
        "とても素敵なドレス 👗",
        "the jeans fit well " * 500,
    ]
    return {"text": np.array([*texts, *edges], dtype=object)}


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract = contract_of(HERE)
    past = read_table(DATA / "training.parquet")
    pipeline = fit(past["text"], past["team"])
    model = to_graph(pipeline, contract)
    metrics = measure(contract, model, pipeline)
    save(out, contract, model, golden=golden_rows(contract), metrics=metrics)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
