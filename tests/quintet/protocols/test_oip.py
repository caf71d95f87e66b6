"""The Open Inference Protocol's answers, whole, over small real models."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.models import ECHO_DTYPES, LOG, NOW, PIXELS, SHOP, online, renamed, shop_probability

from quintet.errors import QuintetError
from quintet.protocols import oip
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import OIP
from quintet.serving import Online, RequestContext

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def service() -> Online:
    return online()


def ask(
    service: Online,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Response:
    request = Request(
        method,
        "/v2/{proxy+}",
        {"proxy": path},
        {name.lower(): value for name, value in (headers or {}).items()},
        body,
    )
    context = RequestContext("id")
    try:
        return OIP.answer(service, request, context)
    except QuintetError as error:
        return oip.failure(error, context)


def infer(
    service: Online, asked: Any, raw: bytes = b"", model: str = "log", **headers: str
) -> Response:
    text = json.dumps(asked).encode()
    if raw:
        headers[HEADER] = str(len(text))
    return ask(service, "POST", f"models/{model}/infer", text + raw, headers)


def told(response: Response) -> tuple[int, Any]:
    return response.status, json.loads(response.body)


def tensor(**changes: Any) -> dict[str, Any]:
    found = {"name": "XY", "datatype": "FP32", "shape": [1, 2], "data": [3, 1], **changes}
    return {name: value for name, value in found.items() if value is not None}


LOGS = [float(np.float32(np.log(np.float32(4)))), float(np.float32(np.log(np.float32(2))))]


# ---- about the server and its models ---------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (
            "",
            {
                "name": "quintet",
                "version": "0.1.0",
                "extensions": [
                    "binary_tensor_data",
                    "model_configuration",
                    "model_repository",
                    "statistics",
                ],
            },
        ),
        ("models", {"models": ["echo", "log", "pixels", "shop", "text"]}),
        ("health/live", {"live": True, "ready": True}),
        ("health/ready", {"live": True, "ready": True}),
        ("models/log/ready", {"name": "log", "ready": True}),
        ("models/log/versions/1/ready", {"name": "log", "ready": True}),
        (
            "models/log",
            {
                "name": "log",
                "versions": ["1"],
                "platform": "onnx_onnxv1",
                "inputs": [{"name": "XY", "datatype": "FP32", "shape": [-1, 2]}],
                "outputs": [{"name": "logs", "datatype": "FP32", "shape": [-1, 2]}],
            },
        ),
        (
            "models/shop/versions/3",
            {
                "name": "shop",
                "versions": ["3"],
                "platform": "onnx_onnxv1",
                "inputs": [
                    {"name": "amount", "datatype": "FP32", "shape": [-1]},
                    {"name": "items", "datatype": "FP32", "shape": [-1]},
                    {"name": "customer", "datatype": "BYTES", "shape": [-1]},
                ],
                "outputs": [
                    {"name": "label", "datatype": "INT64", "shape": [-1]},
                    {"name": "probability", "datatype": "FP32", "shape": [-1, 1]},
                ],
            },
        ),
        (
            "models/shop/config",
            {
                "name": "shop",
                "platform": "onnxruntime_onnx",
                "backend": "onnxruntime",
                "max_batch_size": SHOP.limits.rows,
                "input": [
                    {"name": "amount", "data_type": "TYPE_FP32", "dims": [1], "optional": False},
                    {"name": "items", "data_type": "TYPE_FP32", "dims": [1], "optional": True},
                    {
                        "name": "customer",
                        "data_type": "TYPE_STRING",
                        "dims": [1],
                        "optional": False,
                    },
                ],
                "output": [
                    {"name": "label", "data_type": "TYPE_INT64", "dims": [1]},
                    {"name": "probability", "data_type": "TYPE_FP32", "dims": [1]},
                ],
            },
        ),
        (
            "models/log/config",
            {
                "name": "log",
                "platform": "onnxruntime_onnx",
                "backend": "onnxruntime",
                "max_batch_size": 10,
                "input": [{"name": "XY", "data_type": "TYPE_FP32", "dims": [2], "optional": False}],
                "output": [{"name": "logs", "data_type": "TYPE_FP32", "dims": [2]}],
            },
        ),
    ],
)
def test_metadata(service: Online, path: str, answer: Any) -> None:
    assert told(ask(service, "GET", path)) == (200, answer)


def test_the_repository_lists_every_version() -> None:
    service = online(LOG, renamed(LOG, version=2))
    assert told(ask(service, "POST", "repository/index")) == (
        200,
        [
            {"name": "log", "version": "1", "state": "READY", "reason": ""},
            {"name": "log", "version": "2", "state": "READY", "reason": ""},
        ],
    )


def test_loading_loads_and_unloading_frees_memory() -> None:
    service = online(LOG, PIXELS)
    for name in ("log", "pixels"):
        answer = told(ask(service, "POST", f"repository/models/{name}/load"))
        assert answer == (200, {"name": name, "load": True})
    assert service.models.in_memory() == [("log", 1), ("pixels", 1)]
    body = b'{"parameters": {"unload_dependents": false}}'  # as tritonclient sends it
    answer = told(ask(service, "POST", "repository/models/log/unload", body))
    assert answer == (200, {"name": "log", "unload": True})
    assert service.models.in_memory() == [("pixels", 1)]
    assert told(infer(service, {"inputs": [tensor()]}))[0] == 200, "its next request loads it"
    assert told(ask(service, "POST", "repository/models/nope/unload"))[0] == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("repository/index", b"junk"),
        ("repository/index", b"[]"),
        ("repository/index", b'{"ready": "yes"}'),
        ("repository/index", b'{"ready": true, "more": 1}'),
        ("repository/models/log/load", b'{"parameters": {"config": "{}"}}'),
        ("repository/models/log/load", b'{"parameters": {"file:1/model.onnx": "AAAA"}}'),
        ("repository/models/log/load", b'{"config": "{}"}'),
        ("repository/models/log/load", b"7"),
        ("repository/models/log/unload", b'{"parameters": {"version": "1"}}'),
    ],
)
def test_a_repository_request_that_would_mean_something_else_is_refused(
    service: Online, path: str, body: bytes
) -> None:
    assert told(ask(service, "POST", path, body))[0] == 400


@pytest.mark.parametrize("body", [b"", b" ", b"{}"])
def test_a_repository_request_that_asks_for_nothing_more_is_answered(
    service: Online, body: bytes
) -> None:
    assert told(ask(service, "POST", "repository/index", body))[0] == 200
    assert told(ask(service, "POST", "repository/index", b'{"ready": true}'))[0] == 200
    assert told(ask(service, "POST", "repository/models/log/load", body))[0] == 200


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({"model_name": "log", "model_version": "1"}, 200),
        ({"model_name": "log", "model_version": None}, 200),
        ({"model_version": ""}, 200),
        ({"model_version": "2"}, 400),
        ({"model_version": 1}, 400),
        ({"model_name": "shop"}, 400),
        ({"model_name": ["log"]}, 400),
    ],
)
def test_a_body_that_names_another_model_or_version_is_refused(
    service: Online, named: dict[str, Any], status: int
) -> None:
    found, answer = told(infer(service, {"inputs": [tensor()], **named}))
    assert found == status
    if status == 400:
        assert answer["error"].startswith(next(iter(named)))


def counts(entry: dict[str, Any]) -> dict[str, int]:
    """The counts of a model's statistics; a time is 0 only where nothing was counted."""
    stats = entry["inference_stats"]
    assert all((stat["ns"] > 0) == (stat["count"] > 0) for stat in stats.values())
    return {name: stat["count"] for name, stat in stats.items()}


def test_statistics_count_what_was_scored_and_what_failed() -> None:
    service = online(LOG, replace(LOG, version=2, cache_ttl=60.0), SHOP)
    asked = {"inputs": [tensor(shape=[2, 2], data=[3, 1, 5, 2])]}
    for _ in range(2):  # the second is a cache hit
        assert told(infer(service, asked))[0] == 200
    infer(service, {"inputs": [tensor(data=[-3, 1])]})
    infer(service, {"inputs": [tensor(name="Z")]})
    infer(service, {}, model="nope")
    status, answer = told(ask(service, "GET", "models/log/versions/2/stats"))
    (entry,) = answer["model_stats"]
    assert status == 200
    assert counts(entry) == {
        "success": 2,
        "fail": 2,
        "queue": 0,
        "compute_input": 1,
        "compute_infer": 1,
        "compute_output": 1,
        "cache_hit": 1,
    }
    del entry["inference_stats"]
    assert entry == {
        "name": "log",
        "version": "2",
        "last_inference": int(NOW * 1000),
        "inference_count": 2,
        "execution_count": 1,
        "batch_stats": [],
    }
    ask(service, "POST", "models/log/versions/1/infer", json.dumps(asked).encode())
    every = told(ask(service, "GET", "models/log/stats"))[1]["model_stats"]
    assert [entry["version"] for entry in every] == ["1", "2"]
    (unused,) = told(ask(service, "GET", "models/shop/stats"))[1]["model_stats"]
    assert set(counts(unused).values()) == {0}


@pytest.mark.parametrize(
    "path",
    ["models/nope", "models/log/versions/9", "models/log/versions/x/ready", "models/nope/stats"],
)
def test_an_unknown_model_or_version_is_told_as_triton_does(service: Online, path: str) -> None:
    status, answer = told(ask(service, "GET", path))
    assert status == 404
    assert answer["error"].startswith("Request for unknown model: '")


@pytest.mark.parametrize("path", ["nope", "models/log/nope", "health/x", "models/log/x"])
def test_an_unknown_path_is_not_found(service: Online, path: str) -> None:
    assert ask(service, "GET", path).status == 404


# ---- inference ---------------------------------------------------------------------------------


def test_json_in_json_out(service: Online) -> None:
    asked = {"id": "seven", "inputs": [tensor(shape=[2, 2], data=[[3, 1], [3, 1]])]}
    assert told(infer(service, asked)) == (
        200,
        {
            "model_name": "log",
            "model_version": "1",
            "outputs": [
                {
                    "name": "logs",
                    "shape": [2, 2],
                    "datatype": "FP32",
                    "data": pytest.approx(LOGS + LOGS, rel=1e-6),
                }
            ],
            "id": "seven",
        },
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_a_body_without_json_is_the_only_tensor(service: Online, rows: int) -> None:
    """Triton's raw binary request: the header says that the JSON has no bytes."""
    raw = np.array([[3, 1]] * rows, "<f4").tobytes()
    response = ask(service, "POST", "models/log/infer", raw, {HEADER: "0"})
    assert response.content_type == "application/octet-stream"
    size = int(response.headers[HEADER])
    (output,) = json.loads(response.body[:size])["outputs"]
    assert output["shape"] == [rows, 2]
    assert np.frombuffer(response.body[size:], "<f4").tolist() == LOGS * rows


def test_a_body_without_json_is_one_text(service: Online) -> None:
    response = ask(service, "POST", "models/text/infer", b"shoes", {HEADER: "0"})
    size = int(response.headers[HEADER])
    assert np.frombuffer(response.body[size:], "<i8").tolist() == [2]


@pytest.mark.parametrize(
    ("model", "raw", "text"),
    [
        ("log", b"1234567", "body: expected a multiple of 8 bytes (FP32), got 7"),
        ("log", b"", "body: expected a multiple of 8 bytes (FP32), got 0"),
        ("log", bytes(8 * 11), "XY: expected at most 10 rows, got 11"),
        ("shop", bytes(8), f"{HEADER}: expected more than 0: shop has 3 inputs, so the body needs"),
        ("text", b"\xff", "text: expected text in UTF-8"),
    ],
)
def test_a_body_without_json_that_is_not_one_tensor_is_refused(
    service: Online, model: str, raw: bytes, text: str
) -> None:
    status, answer = told(ask(service, "POST", f"models/{model}/infer", raw, {HEADER: "0"}))
    assert status in (400, 413)
    assert answer["error"].startswith(text)


def test_a_member_that_is_null_is_absent(service: Online) -> None:
    """As generated clients send every optional member."""
    nulls: dict[str, Any] = {"id": None, "parameters": None, "outputs": None, "model_name": None}
    with_data = {**tensor(), "parameters": {"binary_data_size": None, "content_type": None}}
    plain = told(infer(service, {"inputs": [tensor()]}))
    assert plain[0] == 200
    assert told(infer(service, {**nulls, "inputs": [with_data]})) == plain
    outputs = [{"name": "logs", "parameters": {"binary_data": None}}]
    asked = {"inputs": [tensor()], "outputs": outputs, "parameters": {"binary_data_output": None}}
    assert told(infer(service, asked)) == plain
    raw = np.array([3, 1], "<f4").tobytes()
    of_bytes = {**tensor(), "data": None, "parameters": {"binary_data_size": 8}}
    assert told(infer(service, {"inputs": [of_bytes]}, raw)) == plain
    assert told(infer(service, {"inputs": None})) == (
        400,
        {"error": "inputs: expected an array of tensors, got nothing"},
    )
    assert told(ask(service, "POST", "repository/index", b'{"ready": null}'))[0] == 200


@pytest.mark.parametrize("by", ["request", "output"])
def test_raw_in_raw_out(service: Online, by: str) -> None:
    raw = np.array([[3, 1]], dtype="<f4").tobytes()
    asked: dict[str, Any] = {
        "inputs": [tensor(data=None, parameters={"binary_data_size": len(raw)})]
    }
    if by == "request":
        asked["parameters"] = {"binary_data_output": True}
    else:
        asked["outputs"] = [{"name": "logs", "parameters": {"binary_data": True}}]
    response = infer(service, asked, raw)
    assert (response.status, response.content_type) == (200, "application/octet-stream")
    length = int(response.headers[HEADER])
    assert json.loads(response.body[:length])["outputs"] == [
        {"name": "logs", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    ]
    assert response.body[length:] == np.array(LOGS, dtype="<f4").tobytes()


def test_every_datatype_both_ways(service: Online) -> None:
    inputs, raws = [], []
    for dtype in ECHO_DTYPES:
        if dtype == "string":
            raw = b"\2\0\0\0ab\3\0\0\0\xe2\x82\xac"
        else:
            raw = np.array([[1, 0]], dtype=dtype).tobytes()
        name = {"string": "BYTES", "bool": "BOOL"}.get(dtype)
        name = name or dtype.upper().replace("FLOAT", "FP")
        inputs.append(
            {
                "name": f"in_{dtype}",
                "datatype": name,
                "shape": [1, 2],
                "parameters": {"binary_data_size": len(raw)},
            }
        )
        raws.append(raw)
    asked = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    response = infer(service, asked, b"".join(raws), model="echo")
    assert response.body[int(response.headers[HEADER]) :] == b"".join(raws)


def test_tensors_of_features_join_the_store_and_fallback_rows_are_counted(service: Online) -> None:
    asked = {
        "inputs": [
            {"name": "customer", "datatype": "BYTES", "shape": [2, 1], "data": ["c1", "nobody"]},
            {"name": "amount", "datatype": "FP64", "shape": [2], "data": [100, 100]},
        ],
        "outputs": [{"name": "probability"}],
    }
    assert told(infer(service, asked, model="shop")) == (
        200,
        {
            "model_name": "shop",
            "model_version": "3",
            "outputs": [
                {
                    "name": "probability",
                    "shape": [2, 1],
                    "datatype": "FP32",
                    "data": [pytest.approx(shop_probability(100, 1, 4), rel=1e-6), 0.25],
                }
            ],
            "parameters": {"fallback_rows": 1},
        },
    )


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body(service: Online, name: str, pack: Any) -> None:
    raw = np.array([[3, 1]], dtype="<f4").tobytes()
    text = json.dumps(
        {"inputs": [tensor(data=None, parameters={"binary_data_size": len(raw)})]}
    ).encode()
    headers = {"Content-Encoding": name, HEADER: str(len(text))}
    assert ask(service, "POST", "models/log/infer", pack(text + raw), headers).status == 200


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ([], "body: expected an object, got an array"),
        ({}, "inputs: expected an array of tensors, got nothing"),
        ({"inputs": []}, "inputs: expected at least one tensor, got none"),
        ({"inputs": [1]}, "inputs: expected an object, got a number"),
        ({"inputs": [{}]}, "inputs: expected each with its name, got one without"),
        ({"inputs": [tensor()], "id": 7}, "id: expected a string, got a number"),
        (
            {"inputs": [tensor()], "x": 7},
            "body: expected keys of id, inputs, model_name, model_version, outputs, parameters, "
            "got 'x'",
        ),
        ({"inputs": [tensor(), tensor()]}, "XY: expected one tensor of that name, got two"),
        (
            {"inputs": [tensor(data=None)]},
            "XY: expected data, or binary_data_size in its parameters, got neither",
        ),
        (
            {"inputs": [tensor(parameters={"binary_data_size": 8})]},
            "XY: expected data or binary_data_size, got both",
        ),
        (
            {"inputs": [tensor(data=None, parameters={"binary_data_size": 8})]},
            f"XY: expected the header {HEADER} with raw data, got no such header",
        ),
        ({"inputs": [tensor(parameters=[])]}, "XY: parameters: expected an object, got an array"),
        ({"inputs": [tensor(name="Z")]}, "Z: expected one of XY, x, y, got an unknown tensor"),
        (
            {"inputs": [tensor(name="xy")]},
            "xy: expected one of XY, x, y, got an unknown tensor; do you mean XY?",
        ),
        ({"inputs": [tensor(shape=[1, 3], data=[1, 2, 3])]}, "XY: expected shape [1, 2], got"),
        (
            {"inputs": [tensor(shape=[2], data=[1, 2])]},
            "XY: expected shape [1, 2] for one row, got shape [2], without the rows",
        ),
        ({"inputs": [tensor(shape=[0, 2], data=[])]}, "XY: expected at least one row, got none"),
        (
            {"inputs": [tensor(datatype="BOOL", data=[True, False])]},
            "XY: expected float32, got bool",
        ),
        (
            {"inputs": [tensor()], "outputs": [{"name": "nope"}]},
            "outputs: expected each once of logs, got 'nope'",
        ),
        (
            {"inputs": [tensor()], "outputs": [{"name": "logs"}, {"name": "logs"}]},
            "outputs: expected each once of logs, got 'logs' twice",
        ),
        (
            {"inputs": [tensor()], "parameters": {"binary_data_output": 1}},
            "binary_data_output: expected true or false, got a number",
        ),
        ({"inputs": [tensor(data=[1e39, 1])]}, "row 0: x: expected a finite number (float32), got"),
    ],
)
def test_a_bad_request_is_refused_with_the_tensor_named(
    service: Online, asked: Any, text: str
) -> None:
    status, answer = told(infer(service, asked))
    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].startswith(text)


@pytest.mark.parametrize(
    ("sizes", "raw", "text"),
    [
        ([-1], b"12345678", "XY: expected binary_data_size as a number of bytes, got -1"),
        ([True], b"12345678", "XY: expected binary_data_size as a number of bytes, got true"),
        ([9], b"12345678", "XY: expected binary_data_size of at most 8, got 9"),
        (
            [2**70],
            b"12345678",
            "body: expected numbers of 1e21 and more with an exponent, got '118",
        ),
        ([4], b"12345678", "XY: expected 8 bytes (2 of FP32), got 4"),
        ([8], b"123456789", "body: expected 8 bytes of raw tensors, got 9"),
        ([8, 8], b"12345678", "other: expected binary_data_size of at most 0, got 8"),
    ],
)
def test_sizes_that_lie_are_refused(
    service: Online, sizes: list[Any], raw: bytes, text: str
) -> None:
    names = ["XY", "other"]
    inputs = [
        tensor(name=name, data=None, parameters={"binary_data_size": size})
        for name, size in zip(names, sizes, strict=False)
    ]
    status, answer = told(infer(service, {"inputs": inputs}, raw))
    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].startswith(text)


@pytest.mark.parametrize("length", ["-1", "x", "", "9" * 30, "100000"])
def test_a_header_length_that_lies_is_refused(service: Online, length: str) -> None:
    headers = {HEADER: length}
    status, answer = told(ask(service, "POST", "models/log/infer", b"{}", headers))
    assert (status, list(answer)) == (400, ["error"])


def test_more_rows_than_the_limit(service: Online) -> None:
    status, answer = told(infer(service, {"inputs": [tensor(shape=[11, 2], data=[1] * 22)]}))
    assert (status, answer) == (413, {"error": "XY: expected at most 10 rows, got 11"})


def test_a_model_that_gives_nan_is_a_failure_of_the_model(service: Online) -> None:
    assert told(infer(service, {"inputs": [tensor(data=[1, 2])]})) == (
        424,
        {"error": "row 0: logs: expected a finite output, got nan"},
    )


def test_a_bomb_of_zeros_is_stopped_at_the_limit() -> None:
    service = online(renamed(LOG, limits=type(LOG.limits)(rows=10, bytes=10_000)))
    bomb = gzip.compress(b" " * 50_000_000)
    response = ask(service, "POST", "models/log/infer", bomb, {"Content-Encoding": "gzip"})
    assert response.status == 413


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (b"{}", "br", 415),
    ],
)
def test_a_body_that_is_not_what_its_encoding_says(
    service: Online, body: bytes, encoding: str, status: int
) -> None:
    headers = {"Content-Encoding": encoding}
    assert ask(service, "POST", "models/log/infer", body, headers).status == status


def test_a_row_of_a_batch_is_what_it_is_alone(service: Online) -> None:
    rows = [[3.0, 1.0], [5.5, 0.25], [8.0, 2.0]]
    _, together = told(infer(service, {"inputs": [tensor(shape=[3, 2], data=rows)]}))
    for position, row in enumerate(rows):
        _, alone = told(infer(service, {"inputs": [tensor(data=row)]}))
        data = together["outputs"][0]["data"][2 * position : 2 * position + 2]
        assert alone["outputs"][0]["data"] == pytest.approx(data, rel=1e-6)
