"""Requests that are combined get the answers that they get by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kits.models import ECHO_DTYPES
from tests.kits.proxies import MemoryApi, oip, oip_raw, posted, records, row_by_row, together

from quintet_cli.proxy.messages import Answer, Asked

#: what each caller's answer has of its own when it was combined
OWN = {"x-request-id", "x-quintet-combined"}


def same(combined: Answer, alone: Answer) -> None:
    """Whether a caller cannot tell that its request was combined, but by ids."""
    body = combined.body
    if combined.status >= 400:  # a refusal is the API's to the caller's own request, with its id
        assert orjson.loads(body).keys() == orjson.loads(alone.body).keys()
        body = body.replace(
            combined.headers["x-request-id"].encode(), alone.headers["x-request-id"].encode()
        )
    assert (combined.status, body) == (alone.status, alone.body)
    assert {k: v for k, v in combined.headers.items() if k not in OWN} == {
        k: v for k, v in alone.headers.items() if k not in OWN
    }


amounts = st.one_of(st.integers(0, 2_000), st.floats(0, 2_000, width=32))
shop_rows = st.builds(
    lambda customer, amount: {"customer": customer, "amount": amount},
    st.sampled_from(["c1", "c2", "c3"]),
    st.one_of(amounts, amounts, amounts, st.sampled_from([-1, "x", None, 1e30])),
)
log_rows = st.builds(
    lambda x, y: {"x": x, "y": y}, st.sampled_from([3, 4.5, 0, "x"]), st.sampled_from([1, 0.25])
)


def some(rows: Any) -> Any:
    return st.lists(rows, min_size=1, max_size=4)


options = st.fixed_dictionaries(
    {}, optional={"partial": st.booleans(), "outputs": st.just(["probability"])}
)
record_requests = st.one_of(
    st.builds(lambda rows, more: records("shop", rows, **more), some(shop_rows), options),
    st.builds(
        lambda rows, partial: records("log", rows, partial=partial), some(log_rows), st.booleans()
    ),
)
oip_requests = st.builds(
    lambda make, rows, more: make("log", {"XY": np.array(rows, dtype=np.float32)}, **more),
    st.sampled_from([oip, oip_raw]),
    some(st.tuples(st.sampled_from([3, 4.5, 0]), st.sampled_from([1, 0.25]))),
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["", "mine", "täglich"]),
            "parameters": st.just({"binary_data_output": True}),
            "outputs": st.sampled_from(
                [
                    [{"name": "logs"}],
                    [{"name": "logs", "parameters": {"binary_data": True}}],
                    [{"name": "nosuch"}],
                ]
            ),
        },
    ),
)


others = st.builds(
    lambda path, member, rows: posted(path, {member: rows}),
    st.sampled_from(["/v1/models/shop:predict", "/endpoints/shop/invocations"]),
    st.sampled_from(["instances", "instances", "records"]),
    some(shop_rows),
)
ONLINE = row_by_row()


@given(st.lists(st.one_of(record_requests, oip_requests, others), min_size=1, max_size=12))
def test_each_answer_is_that_of_the_request_by_itself(asked: list[Asked]) -> None:
    for combined, alone in zip(
        together(MemoryApi(ONLINE), asked),
        together(MemoryApi(ONLINE), asked, seconds=0),
        strict=True,
    ):
        same(combined, alone)


def customers(*names: str) -> list[Asked]:
    """A request of one record for each customer."""
    return [records("shop", [{"customer": name, "amount": 10}]) for name in names]


def xy(*rows: Any) -> dict[str, Any]:
    """The input of the model of logarithms."""
    return {"XY": np.array(rows, dtype=np.float32)}


SHOP_ROW = {"customer": "c1", "amount": 10}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/shop:predict", {"instances": [SHOP_ROW]}),
        ("/endpoints/shop/invocations", {"records": [SHOP_ROW]}),
    ],
)
def test_the_forms_of_kserve_and_sagemaker_are_combined(path: str, body: Any) -> None:
    api, asked = MemoryApi(), [posted(path, body) for _ in range(3)]
    combined, alone = together(api, asked), together(MemoryApi(), asked, seconds=0)
    for one, other in zip(combined, alone, strict=True):
        same(one, other)
    assert len(api.sent) == 1


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/models/log:predict", {"instances": [[3, 1]]}, {}),
        ("/v1/models/log:predict", {"instances": [3, 1]}, {}),
        ("/v1/models/log:predict", {"inputs": [{"x": 3}]}, {}),
        ("/v1/models/log%3Apredict", {"instances": [{"x": 3}]}, {}),
        ("/endpoints/log/invocations", {"instances": [{"x": 3}]}, {}),
        ("/endpoints/log/invocations", {"records": [{"x": 3}]}, {"accept": "text/csv"}),
        (
            "/endpoints/log/invocations",
            {"records": [{"x": 3}]},
            {"x-amzn-sagemaker-target-variant": "v1"},
        ),
    ],
)
def test_of_these_forms_what_is_not_plain_goes_as_it_is(
    path: str, body: Any, headers: dict[str, str]
) -> None:
    plain = posted(path, body)
    asked = Asked(plain.method, path, {**plain.headers, **headers}, plain.body)
    api = MemoryApi(down=Answer(200, b"{}"))
    together(api, [asked, asked])
    assert api.sent == [asked, asked]


def rows_of(api: MemoryApi) -> list[int]:
    """The records of each request that the API got."""
    return [len(orjson.loads(one.body)["records"]) for one in api.sent]


def test_requests_of_one_model_and_set_of_outputs_go_in_one_call() -> None:
    api = MemoryApi()
    answers = together(
        api,
        [
            *customers("c1", "c2"),
            records("shop", [{"customer": "c1", "amount": 1}], outputs=["label"]),
            records("shop", [{"customer": "c2", "amount": 2}] * 2, outputs=["label"]),
            records("log", [{"x": 3, "y": 1}]),
        ],
    )
    assert [answer.status for answer in answers] == [200] * 5
    assert sorted(rows_of(api)) == [1, 2, 3]
    assert len({answer.headers.get("x-quintet-combined") for answer in answers}) == 3


def test_a_batch_goes_out_when_it_has_its_rows() -> None:
    api = MemoryApi()
    together(api, customers(*["c1"] * 7), rows=3)
    assert rows_of(api) == [3, 3, 1]


@pytest.mark.parametrize("count", [2, 9])
def test_a_refused_record_costs_its_caller_alone_a_call_more(count: int) -> None:
    api = MemoryApi()
    bad = records("shop", [{"customer": "c1", "amount": "x"}])
    answers = together(api, [*customers(*["c1"] * count), bad])
    assert [answer.status for answer in answers] == [200] * count + [400]
    assert answers[-1].body.count(b'"row":0') == 1
    assert [one.body == bad.body for one in api.sent] == [False, True]


def test_a_refused_tensor_is_found_by_halves_and_refused_alone() -> None:
    api, sixteen = MemoryApi(), [oip_raw("log", xy([3, 1])) for _ in range(15)]
    asked = [*sixteen[:5], oip_raw("log", xy([-3, 1])), *sixteen[5:]]
    answers = together(api, asked, rows=10_000)
    assert [answer.status for answer in answers] == [200] * 5 + [424] + [200] * 10
    assert len(api.sent) == 1 + 2 * 4


@pytest.mark.parametrize(
    "members",
    [
        {"data": [3.0, 1.0, 1.0]},
        {"data": [3.0]},
        {"data": [[3.0, 1.0], [3.0, 1.0]]},
        {"data": [[3.0, 1.0, 1.0]]},
        {"datatype": "FP64", "data": [3.0, 1.0]},
        {"shape": [0, 2], "data": []},
        {"shape": [2, 1], "data": [3.0, 1.0]},
    ],
    ids=str,
)
def test_a_tensor_that_is_not_as_its_shape_says_shifts_no_others(members: dict[str, Any]) -> None:
    tensor = {"name": "XY", "shape": [1, 2], "datatype": "FP32", **members}
    body = orjson.dumps({"inputs": [tensor]})
    path, kind = "/v2/models/log/infer", {"content-type": "application/json"}
    asked = [oip("log", xy([4, 1])), Asked("POST", path, kind, body), oip("log", xy([5, 1]))]
    for combined, alone in zip(
        together(MemoryApi(), asked), together(MemoryApi(), asked, seconds=0), strict=True
    ):
        same(combined, alone)


@pytest.mark.parametrize("make", [oip, oip_raw])
@pytest.mark.parametrize("as_raw", [True, False])
def test_every_datatype_comes_apart_to_the_bit(make: Any, as_raw: bool) -> None:
    def asked(number: int) -> Any:
        inputs = {}
        for dtype in ECHO_DTYPES:
            values: Any = np.array([[number, 0], [1, number]]).astype(
                "int64" if dtype == "string" else dtype
            )
            if dtype == "string":
                values = np.array([["näme", ""], ["€", "x" * number]], dtype=object)
            inputs[f"in_{dtype}"] = values
        return make("echo", inputs, parameters={"binary_data_output": as_raw}, id=str(number))

    api, many = MemoryApi(), [asked(number) for number in range(4)]
    combined, alone = together(api, many), together(MemoryApi(), many, seconds=0)
    for one, other in zip(combined, alone, strict=True):
        same(one, other)
    assert len(api.sent) == 1


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"prefer": "respond-async"}},
        {"headers": {"idempotency-key": "order-1"}},
        {"headers": {"content-encoding": "gzip"}},
        {"headers": {"traceparent": f"{TRACE}1"}},
        {"headers": {"traceparent": "damaged"}},
        {"headers": {"content-type": "text/csv"}},
        {"path": "/models/shop/predict?trace=1"},
        {"path": "/models/shop/predict/"},
        {"path": "/models/shop/versions/x/predict"},
        {"body": b'{"records": [{"customer": "c1", "amount": 1, "amount": 2}]}'},
        {"body": b'{"records": [{"customer": "c1", "amount": NaN}]}'},
        {"body": b'{"records": [], "partial": true}'},
        {"body": b'{"records": [{}], "more": 1}'},
        {"body": b'{"records": [{}], "partial": 1}'},
        {"body": b'{"records": [{}], "outputs": [1]}'},
        {"body": b""},
    ],
    ids=str,
)
def test_what_a_combined_request_cannot_carry_goes_as_it_is(changes: dict[str, Any]) -> None:
    plain = customers("c1")[0]
    fields = {"path": plain.path, "body": plain.body, "headers": {}} | changes
    fields["headers"] = {**plain.headers, **fields["headers"]}
    other = Asked("POST", **fields)
    api = MemoryApi(down=Answer(200, b"{}"))
    together(api, [other, other])
    assert api.sent == [other, other]


@pytest.mark.parametrize(
    "options",
    [
        {"model_version": "1"},
        {"model_name": "log"},
        {"parameters": {"priority": 1}},
        {"outputs": [{"name": "logs", "parameters": {"classification": 1}}]},
        {"outputs": [{"name": "logs"}, {"name": "logs"}]},
        {"id": 7},
        {"more": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [oip, oip_raw])
def test_an_inference_request_with_more_goes_as_it_is(make: Any, options: dict[str, Any]) -> None:
    asked = make("log", xy([3, 1]), **options)
    api = MemoryApi(down=Answer(200, b"{}"))
    together(api, [asked, asked])
    assert api.sent == [asked, asked]


def test_a_raw_request_and_a_tensor_cut_short_go_as_they_are() -> None:
    whole = oip_raw("log", xy([3, 1]))
    short = Asked(whole.method, whole.path, whole.headers, whole.body[:-1])
    bare = Asked(whole.method, whole.path, {"inference-header-content-length": "0"}, b"12345678")
    api = MemoryApi(down=Answer(200, b"{}"))
    together(api, [short, short, bare, bare])
    assert api.sent == [short, short, bare, bare]


def test_ids_are_each_callers_own() -> None:
    first, second = customers("c1", "c2")
    headers = dict(first.headers)
    named = {"x-request-id": "order-7", "traceparent": f"{TRACE}0"}
    mine, other = together(
        MemoryApi(), [Asked(first.method, first.path, headers | named, first.body), second]
    )
    assert (mine.headers["x-request-id"], mine.headers["traceparent"]) == tuple(named.values())
    assert mine.headers["x-quintet-combined"] == other.headers["x-request-id"] == "api-0"
    assert "traceparent" not in other.headers


def test_rows_of_the_fallback_are_counted_for_each_caller() -> None:
    api = MemoryApi()
    fresh, stale = together(api, customers("c1", "c2"))
    assert "x-quintet-fallback" not in fresh.headers
    assert stale.headers["x-quintet-fallback"] == "1"
    assert len(api.sent) == 1


def test_the_fallback_of_tensors_is_counted_or_asked_again() -> None:
    def asked(name: str) -> Asked:
        inputs = {"customer": np.array([name], dtype=object), "amount": np.array([1], "f4")}
        return oip("shop", inputs)

    api = MemoryApi()
    first, second = together(api, [asked("c2"), asked("c2")])
    assert (len(api.sent), first.body) == (1, second.body)
    assert orjson.loads(first.body)["parameters"] == {"fallback_rows": 1}
    fresh, stale = together(api, [asked("c1"), asked("c2")])
    assert "parameters" not in orjson.loads(fresh.body)
    assert stale.body == first.body
    assert len(api.sent) == 1 + 3
