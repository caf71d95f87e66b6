"""predict's handler, from API Gateway's event to its response, on moto's services."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.functions.conftest import OnlineAws, Predict
from tests.onlinekit import shop_probability

JSON = {"Content-Type": "application/json"}


def test_records_are_scored(predict: Predict) -> None:
    body = json.dumps({"records": [{"x": 3, "y": 1}, {"x": 2.5}]})
    answer = predict("POST", "/models/log/predict", body, JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == {
        "model": "log",
        "version": 1,
        "predictions": [
            {"logs": pytest.approx(np.log([4, 2]).tolist(), rel=1e-6)},
            {"logs": pytest.approx(np.log([2.5, 2.5]).tolist(), rel=1e-6)},
        ],
    }
