"""KServe's V1 protocol: instances in, predictions out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.models import online, shop_probability

from quintet.errors import QuintetError
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import KSERVE
from quintet.serving import Online, RequestContext

LOGS = [pytest.approx(1.3862944), pytest.approx(0.6931472)]


@pytest.fixture(scope="module")
def service() -> Online:
    return online()


def ask(service: Online, model: str | None, body: Any = None) -> Response:
    """GET without a body, else POST of the body as JSON."""
    parameters = {} if model is None else {"model": model}
    raw = b"" if body is None else json.dumps(body).encode()
    request = Request("GET" if body is None else "POST", "", parameters, {}, raw)
    context = RequestContext("id")
    try:
        return KSERVE.answer(service, request, context)
    except QuintetError as error:
        return KSERVE.failure(error, context)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[3, 1], [3, 1]]},
        {"instances": [{"x": 3, "y": 1}, {"y": 1, "x": 3}]},
        {"inputs": [[3, 1], [3, 1]], "instances": None},
        {"signature_name": "serving_default", "instances": [[3, 1], [3, 1]]},
    ],
)
def test_the_predictions_of_one_output_are_its_rows(service: Online, body: Any) -> None:
    response = ask(service, "log", body)
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body) == {"predictions": [LOGS, LOGS]}


def test_the_predictions_of_several_outputs_are_objects(service: Online) -> None:
    response = ask(service, "shop", {"instances": [{"customer": "c1", "amount": 100, "items": 2}]})
    expected = [pytest.approx(shop_probability(100, 2, 4), rel=1e-6)]
    assert json.loads(response.body) == {"predictions": [{"label": 1, "probability": expected}]}


def test_instances_are_single_values_or_arrays_of_a_shape(service: Online) -> None:
    texts = ask(service, "text", {"instances": ["shirt", "shoes"]})
    assert json.loads(texts.body) == {"predictions": [1, 2]}
    image = {"instances": [[[1, 2, 3], [4, 5, 6]]]}
    assert json.loads(ask(service, "pixels", image).body) == {"predictions": [[6.0, 15.0]]}


def test_models_are_listed_and_ready(service: Online) -> None:
    listed = ask(service, None)
    assert json.loads(listed.body) == {"models": ["echo", "log", "pixels", "shop", "text"]}
    assert json.loads(ask(service, "log").body) == {"name": "log", "ready": True}
    assert not listed.compress


@pytest.mark.parametrize(
    ("model", "body", "status", "error"),
    [
        ("nope", None, 404, "Request for unknown model: 'nope' is not found"),
        ("nope", {"instances": [[3, 1]]}, 404, "Request for unknown model: 'nope' is not found"),
        ("log", [[3, 1]], 400, "body: expected an object, got an array"),
        ("log", {}, 400, "body: expected one of instances and inputs, got 0 of them"),
        ("log", {"instances": [[3, 1]], "outputs": ["logs"]}, 400, "body: expected keys of"),
        ("log", {"instances": [[3, 1]], "inputs": [[3, 1]]}, 400, "body: expected one of"),
        ("log", {"instances": {"x": 3}}, 400, "instances: expected an array of instances, got an"),
        ("log", {"instances": []}, 400, "rows: expected at least one row, got none"),
        ("log", {"instances": [[3, 1, 2]]}, 400, "row 0: row: expected 2 values, got 3"),
        ("log", {"instances": [[3, 1]] * 11}, 413, "rows: expected at most 10 rows, got 11"),
        ("log", {"instances": [[-3, 1]]}, 424, "row 0: logs: expected a finite output, got nan"),
    ],
)
def test_errors_are_the_open_inference_protocols(
    service: Online, model: str, body: Any, status: int, error: str
) -> None:
    response = ask(service, model, body)
    ((name, text),) = json.loads(response.body).items()
    assert (response.status, name) == (status, "error")
    assert text.startswith(error)
