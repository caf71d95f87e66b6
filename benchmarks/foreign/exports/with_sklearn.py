"""scikit-learn, by skl2onnx: numbers, strings, texts, old opsets, float64."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from benchmarks.foreign.exports.case import save
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

SKL = "scikit-learn 1.9.1, skl2onnx 1.20.0"


def rows_of(x: np.ndarray[Any, Any], name: str = "X", count: int = 5) -> list[dict[str, Any]]:
    """The first rows of a matrix, as rows of one input."""
    return [{name: row} for row in x[:: max(1, len(x) // count)][:count]]


def scikit_learn() -> None:
    """Pipelines of numbers, of strings and of texts; ZipMap; old opsets; float64."""
    iris = load_iris()
    x, y = iris.data.astype(np.float32), iris.target
    diabetes = load_diabetes()
    d, t = diabetes.data.astype(np.float32), diabetes.target.astype(np.float32)
    floats = [("X", FloatTensorType([None, 4]))]
    plain = {"zipmap": False}
    logistic = LogisticRegression(max_iter=500).fit(x, y)
    bare = to_onnx(logistic, initial_types=floats, options=plain).SerializeToString()
    save(
        "skl-zipmap",
        SKL,
        to_onnx(logistic, initial_types=floats).SerializeToString(),
        rows_of(x),
        says="zipmap",
        mend="export with `zipmap: False`",
        mended=bare,
    )
    save("skl-logistic", SKL, bare, rows_of(x))
    old = to_onnx(
        logistic, initial_types=floats, options=plain, target_opset={"": 9, "ai.onnx.ml": 1}
    )
    save("skl-opset9", SKL, old.SerializeToString(), rows_of(x))
    names = np.array(iris.target_names, dtype=object)[y]
    forest = RandomForestClassifier(20, random_state=0).fit(x, names)
    made = to_onnx(forest, initial_types=floats, options=plain)
    save("skl-string-labels", SKL, made.SerializeToString(), rows_of(x))
    linear = LinearRegression().fit(diabetes.data, diabetes.target)
    made = to_onnx(linear, initial_types=[("X", DoubleTensorType([None, 10]))])
    save("skl-float64", SKL, made.SerializeToString(), rows_of(diabetes.data))
    net = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=300, random_state=0)
    )
    made = to_onnx(net.fit(d, t), initial_types=[("X", FloatTensorType([None, 10]))])
    save("skl-mlp", SKL, made.SerializeToString(), rows_of(d))
    made = to_onnx(
        SVC(random_state=0).fit(x, y), initial_types=floats, options=plain, target_opset=12
    )
    save("skl-svc-opset12", SKL, made.SerializeToString(), rows_of(x))
    trees = IsolationForest(n_estimators=20, random_state=0).fit(x)
    made = to_onnx(trees, initial_types=floats, target_opset={"": 15, "ai.onnx.ml": 3})
    save("skl-isolation-forest", SKL, made.SerializeToString(), rows_of(x))
    made = to_onnx(
        make_pipeline(PCA(2), KMeans(3, n_init=2, random_state=0)).fit(x), initial_types=floats
    )
    save("skl-kmeans", SKL, made.SerializeToString(), rows_of(x))
    mixed()
    texts()


def mixed() -> None:
    """A ColumnTransformer over numbers and strings: an input per column."""
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 300),
            "income": rng.normal(40_000, 9_000, 300).astype(np.float32),
            "city": rng.choice(["Berlin", "Paris", "Oslo"], 300),
        }
    )
    target = (frame["income"] > 40_000) ^ (frame["city"] == "Oslo")
    steps = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "income"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    pipe = make_pipeline(steps, GradientBoostingClassifier(n_estimators=20, random_state=0))
    pipe.fit(frame, target.astype(int))
    types = [
        ("age", Int64TensorType([None, 1])),
        ("income", FloatTensorType([None, 1])),
        ("city", StringTensorType([None, 1])),
    ]
    made = to_onnx(pipe, initial_types=types, options={"zipmap": False})
    rows = [
        {"age": np.array([a], np.int64), "income": np.array([i], np.float32), "city": np.array([c])}
        for a, i, c in frame.head(5).itertuples(index=False)
    ]
    save("skl-columns", SKL, made.SerializeToString(), rows)


def texts() -> None:
    """TF-IDF with the locale that skl2onnx writes by default."""
    said = ["the zipper broke", "love these jeans", "sleeves too long", "soft and warm"] * 10
    pipe = make_pipeline(TfidfVectorizer(token_pattern="[a-zA-Z]+"), LogisticRegression())
    pipe.fit(said, [0, 1, 0, 1] * 10)
    types = [("text", StringTensorType([None, 1]))]
    made = to_onnx(pipe, initial_types=types, options={"zipmap": False})
    cut = to_onnx(pipe, initial_types=types, options={"zipmap": False})
    for node in cut.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [a for a in node.attribute if a.name != "locale"]
            del node.attribute[:]
            node.attribute.extend(kept)
            attribute = node.attribute.add(name="locale", s=b"C", type=3)
            assert attribute.s == b"C"
    rows = [{"text": np.array([text])} for text in (*said[:4], "Broke: the ZIPPER of my jeans")]
    save(
        "skl-tfidf",
        SKL,
        made.SerializeToString(),
        rows,
        says="locale",
        mend="set the locale of StringNormalizer to `C`",
        mended=cut.SerializeToString(),
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    scikit_learn()
