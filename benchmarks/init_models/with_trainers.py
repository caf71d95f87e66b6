"""Models trained on random data by what the `train` extra has: scikit-learn and LightGBM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightgbm
import numpy as np
import onnxmltools
import pandas as pd
import sklearn
from benchmarks.init_models.case import Case
from onnxmltools.convert.common.data_types import FloatTensorType as LightTensor
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

__all__ = ["TRAINED"]

ROWS = 240
SKLEARN = f"scikit-learn {sklearn.__version__}"
LIGHTGBM = f"LightGBM {lightgbm.__version__}"
OPSETS = {"": 17, "ai.onnx.ml": 3}


def _random() -> np.random.Generator:
    return np.random.default_rng(3)


def _customers() -> pd.DataFrame:
    random = _random()
    table = pd.DataFrame(
        {
            "customer_id": [f"c{at % 80}" for at in range(ROWS)],
            "Annual Income ($)": random.normal(50_000, 9_000, ROWS).round(2),
            "age": random.integers(18, 80, ROWS).astype(float),
            "city": random.choice(["Oslo", "Paris", "Bonn"], ROWS),
        }
    )
    table["churned"] = np.where((table.age > 50) ^ (table.city == "Oslo"), "yes", "no")
    return table


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def pipeline() -> Case:
    """Numbers and texts, an input for each column, a ZipMap."""
    table = _customers()
    names = ["Annual Income ($)", "age", "city"]
    columns = make_column_transformer(
        (StandardScaler(), names[:2]), (OneHotEncoder(handle_unknown="ignore"), names[2:])
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=500))
    model.fit(table[names], table.churned)
    kinds = [FloatTensorType([None, 1])] * 2 + [StringTensorType([None, 1])]
    graph = to_onnx(model, initial_types=[*zip(names, kinds, strict=True)], target_opset=OPSETS)
    inputs = [info.name for info in graph.graph.input]
    feeds = [
        {
            inputs[0]: np.array([[row[names[0]]]], np.float32),
            inputs[1]: np.array([[row["age"]]], np.float32),
            inputs[2]: np.array([[row["city"]]], object),
        }
        for row in _records(table)
    ]
    content = graph.SerializeToString()
    records = _records(table)
    return Case("pipeline-strings", SKLEARN, content, records, feeds, label="churned")


def _numbers(columns: int = 5) -> tuple[np.ndarray, np.ndarray]:
    values = _random().normal(size=(ROWS, columns)).astype(np.float32)
    return values, values[:, 0] + values[:, 1] * values[:, 2]


def _case(
    name: str,
    exporter: str,
    graph: Any,
    values: np.ndarray,
    label: Sequence[Any],
) -> Case:
    tensor = graph.graph.input[0].name
    records = [
        {**{f"c{at}": None if np.isnan(v) else v for at, v in enumerate(row)}, "target": answer}
        for row, answer in zip(values.tolist(), label, strict=True)
    ]
    feeds = [{tensor: row[np.newaxis]} for row in values]
    return Case(name, exporter, graph.SerializeToString(), records, feeds)


def forest() -> Case:
    """Three classes with numbers of their own; a ZipMap."""
    values, target = _numbers()
    labels = np.digitize(target, [-0.5, 0.5]) + 3
    model = RandomForestClassifier(20, random_state=0).fit(values, labels)
    graph = to_onnx(model, values[:1], target_opset=OPSETS)
    return _case("forest-zipmap", SKLEARN, graph, values, labels.tolist())


def regression64() -> Case:
    """float64."""
    values, target = _numbers()
    wide = values.astype(np.float64)
    model = LinearRegression().fit(wide, target)
    graph = to_onnx(model, initial_types=[("X", DoubleTensorType([None, 5]))], target_opset=OPSETS)
    return _case("regression-float64", SKLEARN, graph, wide, target.tolist())


def gaps() -> Case:
    """Trained on missing values."""
    values, target = _numbers()
    values[_random().uniform(size=values.shape) < 0.1] = np.nan
    model = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(values, target)
    return _case("missing-values", LIGHTGBM, _light(model), values, target.tolist())


def texts() -> Case:
    """Texts as they are."""
    words = np.array(["broken", "zipper", "late", "parcel", "refund", "size", "blue", "dress"])
    made = [" ".join(_random().permutation(words)[: 2 + at % 5]) + f" {at}" for at in range(ROWS)]
    labels = ["delivery" if "late" in text else "goods" for text in made]
    model = make_pipeline(TfidfVectorizer(token_pattern="[a-zA-Z]+"), LogisticRegression())
    model.fit(made, labels)
    graph = to_onnx(
        model,
        initial_types=[("text", StringTensorType([None, 1]))],
        target_opset=OPSETS,
        options={id(model[0]): {"tokenexp": "[a-zA-Z]+"}},
    )
    feeds = [{"text": np.array([[text]], object)} for text in made]
    records = [{"text": text, "label": label} for text, label in zip(made, labels, strict=True)]
    return Case("text", SKLEARN, graph.SerializeToString(), records, feeds)


def light_classes() -> Case:
    """LightGBM's converter declares one label, whatever the rows."""
    values, target = _numbers()
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(
        values, (target > 0).astype(int)
    )
    graph = _light(model)
    return _case("lightgbm-classes", LIGHTGBM, graph, values, (target > 0).astype(int).tolist())


def light_numbers() -> Case:
    values, target = _numbers()
    model = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(values, target)
    return _case("lightgbm-numbers", LIGHTGBM, _light(model), values, target.tolist())


def _light(model: Any) -> Any:
    kinds = [("input", LightTensor([None, 5]))]
    return onnxmltools.convert_lightgbm(model, initial_types=kinds, target_opset=15)


#: each makes a case
TRAINED: tuple[Callable[[], Case], ...] = (
    pipeline,
    forest,
    regression64,
    gaps,
    texts,
    light_classes,
    light_numbers,
)
