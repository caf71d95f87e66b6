"""LightGBM, XGBoost and CatBoost, trained with and without missing values."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmarks.foreign.exports.case import Hints, save
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as FloatTensor
from sklearn.datasets import load_breast_cancer, load_diabetes
from xgboost import XGBClassifier, XGBRegressor


def rows_of(x: np.ndarray[Any, Any], name: str, count: int = 5) -> list[dict[str, Any]]:
    """Some rows of a matrix, as rows of one input."""
    return [{name: row} for row in x[:: max(1, len(x) // count)][:count]]


def boosted() -> None:
    """LightGBM, XGBoost and CatBoost, trained with missing values."""
    data = load_breast_cancer()
    x, y = data.data[:, :8].astype(np.float32), data.target
    d = load_diabetes()
    r, t = d.data.astype(np.float32), d.target
    holes = x.copy()
    holes[::3, 2] = np.nan
    gaps = Hints(missing=True)
    holed = rows_of(holes, "input")
    holed[0]["input"] = np.where(np.arange(8) == 2, np.nan, holed[0]["input"]).astype(np.float32)
    light, floats = "lightgbm 4.7.0, onnxmltools 1.16.0", [("input", FloatTensor([None, 8]))]
    model = LGBMClassifier(n_estimators=20, verbose=-1).fit(holes, y)
    made = convert_lightgbm(model, initial_types=floats, zipmap=False, target_opset=15)
    save("lightgbm-missing", light, made.SerializeToString(), holed, gaps)
    made = convert_lightgbm(model, initial_types=floats, target_opset=15)
    cut = convert_lightgbm(model, initial_types=floats, zipmap=False, target_opset=15)
    save(
        "lightgbm-zipmap",
        light,
        made.SerializeToString(),
        holed,
        gaps,
        says="zipmap",
        mend="export with `zipmap=False`",
        mended=cut.SerializeToString(),
    )
    wide = [("input", FloatTensor([None, 10]))]
    made = convert_lightgbm(
        LGBMRegressor(n_estimators=20, verbose=-1).fit(r, t), initial_types=wide, target_opset=15
    )
    save("lightgbm-regressor", light, made.SerializeToString(), rows_of(r, "input"))
    extreme = "xgboost-cpu 3.2.0, onnxmltools 1.16.0"
    made = convert_xgboost(
        XGBClassifier(n_estimators=20).fit(holes, y), initial_types=floats, target_opset=15
    )
    save("xgboost-missing", extreme, made.SerializeToString(), holed, gaps)
    made = convert_xgboost(
        XGBRegressor(n_estimators=20).fit(r, t), initial_types=wide, target_opset=15
    )
    save("xgboost-regressor", extreme, made.SerializeToString(), rows_of(r, "input"))
    cats = "catboost 1.2.10"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.onnx")
        quiet: dict[str, Any] = {"iterations": 20, "verbose": False, "allow_writing_files": False}
        fitted = CatBoostClassifier(**quiet).fit(x, y)
        fitted.save_model(str(path), format="onnx")
        whole = path.read_bytes()
        save(
            "catboost-classifier",
            cats,
            whole,
            rows_of(x, "features"),
            says="ZipMap",
            mend="cut ZipMap out of the graph",
            mended=without_zipmap(whole),
        )
        CatBoostRegressor(**quiet).fit(r, t).save_model(str(path), format="onnx")
        save("catboost-regressor", cats, path, rows_of(r, "features"))


def without_zipmap(graph: bytes) -> bytes:
    """The graph with the tensor that ZipMap takes in ZipMap's place."""
    model = onnx.load_from_string(graph)
    (node,) = [node for node in model.graph.node if node.op_type == "ZipMap"]
    model.graph.node.remove(node)
    for output in model.graph.output:
        if output.name == node.output[0]:
            tensor = onnx.helper.make_tensor_value_info(
                node.input[0], onnx.TensorProto.FLOAT, ["rows", None]
            )
            output.CopyFrom(tensor)
    content: bytes = model.SerializeToString()
    return content


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    boosted()
