"""Our own form's answers and refusals, whole, over small real models."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.models import LOG, NOW, SHOP, online, renamed, shop_features, shop_probability

from quintet.errors import QuintetError
from quintet.features import MemoryFeatures
from quintet.protocols import records
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import RECORDS
from quintet.serving import Online, RequestContext


@pytest.fixture(scope="module")
def service() -> Online:
    return online()


def post(
    service: Online, model: str, body: Any, version: str | None = None, **headers: str
) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    parameters = {"model": model} | ({} if version is None else {"version": version})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request("POST", "/models/{model}/predict", parameters, named, raw)
    context = RequestContext("id")
    try:
        return RECORDS.answer(service, request, context)
    except QuintetError as error:
        return records.failure(error, context)


def told(response: Response) -> Any:
    return json.loads(response.body)


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-6)


def test_a_prediction_says_class_fallback_and_age(service: Online) -> None:
    asked = [
        {"customer": "c1", "amount": 100, "items": 2},
        {"customer": "c2", "amount": 100},
        {"customer": "nobody", "amount": 2000},
    ]
    response = post(service, "shop", {"records": asked})
    assert (response.status, response.content_type) == (200, "application/json")
    assert told(response) == {
        "model": "shop",
        "version": 3,
        "predictions": [
            {
                "label": 1,
                "label_class": "cancelled",
                "probability": near(shop_probability(100, 2, 4)),
                "fallback": False,
                "features_age_s": {"orders_90d": 600.0},
            },
            {
                "label": 0,
                "label_class": "kept",
                "probability": 0.25,
                "fallback": True,
                "features_age_s": {"orders_90d": 86_400.0},
            },
            {
                "label": 1,
                "label_class": "cancelled",
                "probability": 0.75,
                "fallback": True,
                "features_age_s": {"orders_90d": None},
            },
        ],
    }


def test_probabilities_come_by_class(service: Online) -> None:
    asked = {"records": [{"image": [[1, 2, 3], [4, 5, 6]]}]}
    assert told(post(service, "pixels", asked))["predictions"] == [
        {"parts": {"dark": 6.0, "bright": 15.0}}
    ]


def test_float32_is_written_as_short_as_it_is(service: Online) -> None:
    body = post(service, "pixels", {"records": [{"image": [[0.1, 0, 0], [0.3, 0, 0]]}]}).body
    assert b'{"dark":0.1,"bright":0.3}' in body


def test_only_the_asked_outputs(service: Online) -> None:
    asked = {"records": [{"customer": "c1", "amount": 1}], "outputs": ["probability"]}
    (prediction,) = told(post(service, "shop", asked))["predictions"]
    assert prediction.keys() == {"probability", "fallback", "features_age_s"}


def test_partial_results_keep_the_places_and_tell_the_reasons(service: Online) -> None:
    asked = [{"x": 3, "y": 1}, {"x": "3"}, {"x": 1, "y": 2}, {"x": 3, "z": 1}, 7]
    assert told(post(service, "log", {"records": asked, "partial": True})) == {
        "model": "log",
        "version": 1,
        "predictions": [{"logs": [near(1.3862944), near(0.6931472)]}, None, None, None, None],
        "errors": [
            {"row": 1, "field": "x", "expected": "a number (float32)", "got": "'3'"},
            {"row": 2, "field": "logs", "expected": "a finite output", "got": "nan"},
            {"row": 3, "field": "z", "expected": "one of x, y", "got": "another field"},
            {"row": 4, "field": "record", "expected": "an object", "got": "7"},
        ],
    }


def test_a_refusal_is_a_problem_that_names_every_value(service: Online) -> None:
    asked = [{"customer": "c1", "amount": -1}, {"amount": 1}, {"customer": "c1", "amount": "1"}]
    response = post(service, "shop", {"records": asked})
    assert (response.status, response.content_type) == (400, "application/problem+json")
    errors = [
        {"row": 0, "field": "amount", "expected": "a number from 0 to 10000", "got": "-1.0"},
        {"row": 1, "field": "customer", "expected": "the entity key", "got": "nothing"},
        {"row": 2, "field": "amount", "expected": "a number (float32)", "got": "'1'"},
    ]
    assert told(response) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "row 0: amount: expected a number from 0 to 10000, got -1.0; "
        "row 1: customer: expected the entity key, got nothing; "
        "row 2: amount: expected a number (float32), got '1'",
        "request_id": "id",
        "errors": errors,
        "refused": 3,
    }


def test_ten_are_named_and_the_rest_counted() -> None:
    service = online(renamed(LOG, limits=type(LOG.limits)(rows=100)))
    answer = told(post(service, "log", {"records": [{"x": "a"}] * 50}))
    assert (len(answer["errors"]), answer["refused"]) == (10, 50)
    assert answer["detail"].endswith("; and 40 more")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b"", "body"),
        (b"{}", "records"),
        (b'{"records": []}', "records"),
        (b'{"records": {}}', "records"),
        (b'{"records": [{"x": 1}], "more": 1}', "body"),
        (b'{"records": [{"x": 1}], "partial": 1}', "partial"),
        (b'{"records": [{"x": 1}], "outputs": []}', "outputs"),
        (b'{"records": [{"x": 1}], "outputs": ["nope"]}', "outputs"),
        (b'{"records": [{"x": 1}], "outputs": [{}]}', "outputs"),
        (b'{"records": [{"x": 1e999}]}', "body"),
        (b'{"records": [{"x": NaN}]}', "body"),
        (b'{"records": [{"x": 1, "x": 2}]}', "body"),
        (b'{"records": [{"x": 123456789012345678901234567890}]}', "body"),
        (b'{"records": [{"x": 1e300}]}', "x"),
        (b'{"records": [{"x": true}]}', "x"),
        (b'{"records": [{"x": null}]}', "x"),
        (b'{"records": [{"x": [1]}]}', "x"),
        (b'{"records": [[1, 2]]}', "record"),
    ],
)
def test_bad_input_names_its_field(service: Online, body: bytes, field: str) -> None:
    response = post(service, "log", body)
    assert response.status == 400
    assert {error["field"] for error in told(response)["errors"]} == {field}


def test_limits_unknown_names_and_types_have_their_statuses(service: Online) -> None:
    record = {"x": 1}
    assert post(service, "log", {"records": [record] * 11}).status == 413
    assert post(service, "shop", b" " * 20_001).status == 413
    assert post(service, "nope", {"records": [record]}).status == 404
    assert post(service, "log", {"records": [record]}, version="2").status == 404
    assert post(service, "log", {"records": [record]}, version="x").status == 404
    assert post(service, "log", {"records": [record]}, content_type="text/csv").status == 415


def test_json_with_a_charset_is_json(service: Online) -> None:
    kind = "application/json; charset=UTF-8"
    assert post(service, "log", {"records": [{"x": 3}]}, content_type=kind).status == 200


def test_a_version_can_be_pinned() -> None:
    service = online(LOG, renamed(LOG, version=2))
    asked = {"records": [{"x": 3}]}
    assert told(post(service, "log", asked))["version"] == 2
    assert told(post(service, "log", asked, version="1"))["version"] == 1


def test_a_misspelt_member_is_named(service: Online) -> None:
    asked = {"record": [{"x": 3, "y": 1}]}
    assert told(post(service, "log", asked))["detail"] == (
        "body: expected keys of outputs, partial, records, got 'record'; do you mean records?"
    )


def test_a_member_that_is_null_is_absent(service: Online) -> None:
    asked = {"records": [{"x": 3, "y": 1}], "partial": None, "outputs": None}
    assert told(post(service, "log", asked)) == told(
        post(service, "log", {"records": asked["records"]})
    )


def test_a_sensitive_value_is_not_told(service: Online) -> None:
    answer = told(post(service, "text", {"records": [{"text": 12345}]}))
    assert answer["errors"] == [
        {"row": 0, "field": "text", "expected": "a string", "got": "a hidden number"}
    ]


def test_without_a_rule_a_missing_feature_is_refused_and_a_lost_store_is_transient() -> None:
    ruled = tuple(
        f if f.source == "request" else replace(f, when_stale="refuse") for f in SHOP.features
    )
    contract = renamed(SHOP, features=ruled, fallback=None)
    service = online(contract, features=shop_features())
    answer = told(post(service, "shop", {"records": [{"customer": "nobody", "amount": 1}]}))
    assert (answer["status"], answer["errors"][0]["field"]) == (400, "orders_90d")

    response = post(
        online(contract, features=Lost()), "shop", {"records": [{"customer": "c1", "amount": 1}]}
    )
    assert (response.status, response.headers) == (503, {"Retry-After": "1"})


class Lost(MemoryFeatures):
    """A store that does not answer."""

    def fetch(self, *_: Any) -> Any:
        from quintet.errors import Transient

        raise Transient("lost")


def test_a_lost_store_leaves_the_answer_to_the_rule() -> None:
    service = online(SHOP, features=Lost())
    asked = [{"customer": "c1", "amount": 1}, {"customer": "c1", "amount": 2000}]
    found = told(post(service, "shop", {"records": asked}))["predictions"]
    assert [(p["probability"], p["fallback"]) for p in found] == [(0.25, True), (0.75, True)]


def test_a_row_of_a_batch_is_what_it_is_alone(service: Online) -> None:
    asked = [{"customer": "c1", "amount": amount} for amount in (1, 20, 300)]
    together = told(post(service, "shop", {"records": asked}))["predictions"]
    alone = [told(post(service, "shop", {"records": [a]}))["predictions"][0] for a in asked]
    for one, other in zip(together, alone, strict=True):
        assert one | {"probability": near(one["probability"])} == other


def test_features_are_as_old_as_the_clock_says() -> None:
    features = MemoryFeatures()
    features.put("customer", "c1", "orders_90d", 1, NOW - 12.5)
    asked = {"records": [{"customer": "c1", "amount": 1}]}
    (found,) = told(post(online(SHOP, features=features), "shop", asked))["predictions"]
    assert found["features_age_s"] == {"orders_90d": 12.5}
