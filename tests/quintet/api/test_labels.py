"""POST /labels: all labels of a request are kept, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from tests.kits.labels import BINARY, START
from tests.kits.models import event, received

from quintet.api.labels import MAX_ROWS, LabelsApi, failure
from quintet.api.routing import Routes
from quintet.captures.store import MemoryCaptures
from quintet.contract import Contract
from quintet.errors import BadInput, NotFound, TooLarge
from quintet.labels.table import read
from quintet.serving.routes import UnknownModel

ONE = {"id": "e1", "label": "kept", "time": START}


def contract(name: str) -> Contract:
    if name != "risk":
        raise UnknownModel(name)
    return BINARY


def sent(sink: MemoryCaptures, body: Any) -> Any:
    api = LabelsApi(contract=contract, sink=sink, clock=lambda: START + 60)
    routes = Routes({("POST", "/labels"): (lambda request, call: api.add(request), failure)})
    headers = {"Content-Type": "application/json"}
    request = received(event("POST", "/labels", orjson.dumps(body), headers), routes)
    answer = api.add(request)
    return answer.status, orjson.loads(answer.body)


def test_labels_are_kept_once_however_often_they_are_sent() -> None:
    sink = MemoryCaptures()
    body = {"model": "risk", "labels": [ONE, {"id": 7, "label": True, "time": "2023-11-15"}]}
    assert sent(sink, body) == (200, {"model": "risk", "labels": 2})
    assert sent(sink, body) == (200, {"model": "risk", "labels": 2})
    ((key, body_of),) = sink.objects.items()
    assert key.startswith("labels/model=risk/date=2023-11-15/")
    found = read(body_of)
    order = np.argsort(found.ids)
    assert found.ids[order].tolist() == [b"7", b"e1"]
    assert found.values[order].tolist() == [b"1", b"kept"]
    assert found.times.tolist() == [START, START]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "body: expected an object, got an array"),
        ({"labels": [ONE]}, "model: expected a model's name, got null"),
        ({"model": "risk"}, "labels: expected an array of 1 to 10,000 objects, got null"),
        (
            {"model": "risk", "labels": []},
            "expected an array of 1 to 10,000 objects, got none",
        ),
        ({"model": "risk", "labels": [1]}, r"labels\[0\]: expected an object, got a number"),
        (
            {"model": "risk", "labels": [ONE | {"value": 1}]},
            r"labels\[0\]: expected keys of id, label, time, got 'value'",
        ),
        ({"model": "risk", "label": [ONE]}, "got 'label'; do you mean labels?"),
        (
            {"model": "risk", "labels": [ONE, {"id": "a", "label": "blue"}]},
            "row 1: label: expected one of kept, cancelled, or a class's number, got 'blue'; "
            "row 1: time: expected a time before 2100: seconds since 1970, or ISO 8601, got null",
        ),
    ],
)
def test_a_request_with_a_wrong_label_keeps_none(body: Any, message: str) -> None:
    sink = MemoryCaptures()
    with pytest.raises(BadInput, match=message):
        sent(sink, body)
    assert sink.objects == {}


@pytest.mark.parametrize("model", ["other", "no/name"])
def test_an_unknown_model_is_not_found(model: str) -> None:
    with pytest.raises(NotFound, match="model"):
        sent(MemoryCaptures(), {"model": model, "labels": [ONE]})


def test_more_than_a_request_may_hold_is_too_large() -> None:
    with pytest.raises(TooLarge, match="labels: expected at most 10,000 in a request, got 10,001"):
        sent(MemoryCaptures(), {"model": "risk", "labels": [ONE] * (MAX_ROWS + 1)})
