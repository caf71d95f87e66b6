"""KServe's server tests in our own words, against the whole of template.yaml on the local AWS."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.clients import ports
from tests.clients.ports import Response, send
from tests.kits.local_aws import LocalAws
from tests.kits.port_models import publish_port_models

port = partial(ports.port, "KServe")
HEADER = "Inference-Header-Content-Length"
VALUES = np.array([[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]], np.float32)
HALVES = VALUES.astype("<f2")
WORDS = [["cat", "dog", "cat", "dog"]] * 2


@pytest.fixture(scope="module")
def url(local_aws: LocalAws) -> str:
    """The API's address, with the models of KServe's tests behind it."""
    publish_port_models(local_aws)
    return local_aws.api_url


def infer(
    url: str, model: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[Response, dict[str, Any], bytes]:
    """The answer, its JSON and its raw tensors."""
    answer = send("POST", f"{url}/v2/models/{model}/infer", body, headers)
    size = int(answer.headers.get(HEADER, len(answer.data)))
    return answer, json.loads(answer.data[:size]), answer.data[size:]


def tensor(name: str, datatype: str, data: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A tensor as kserve's client writes it; its shape is (2, 4)."""
    found = {"name": name, "shape": [2, 4], "datatype": datatype, **more}
    return found if data is None else {**found, "data": data}


def fp32_request(**asked: Any) -> dict[str, Any]:
    values = VALUES.ravel().tolist()
    return {
        "id": "123",
        "model_name": "fp16-output-model",
        "inputs": [tensor("fp32_input", "FP32", values)],
        **asked,
    }


FP16 = HALVES.tobytes()
FP32 = VALUES.astype("<f4").tobytes()


# ---- version 2 -----------------------------------------------------------------------------------


@port("test_list_models_v2", "the names of all models")
def test_list(url: str) -> None:
    found = send("GET", f"{url}/v2/models").json()
    assert {"testmodel", "fp16-input-model", "fp16-output-model"} <= set(found["models"])


@port("test_infer_v2", "nested data; flat data in the answer, as application/json")
def test_infer(url: str) -> None:
    asked = {"name": "input-0", "shape": [1, 2], "datatype": "INT32", "data": [[1, 2]]}
    answer, found, _ = infer(url, "testmodel", {"inputs": [asked]})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert found["outputs"][0]["data"] == [1, 2]


@port(
    "test_infer_parameters_v2",
    "parameters of any name are taken; the test's model returns them",
    "they are taken, but a published model does not see them",
)
def test_parameters(url: str) -> None:
    parameters = {"test-str": "dummy", "test-bool": True, "test-int": 100, "test-float": 1.3}
    asked = {"name": "input-0", "shape": [1, 2], "datatype": "INT32", "data": [1, 2]}
    body = {
        "id": "123",
        "model_name": "testmodel",
        "parameters": parameters,
        "inputs": [{**asked, "parameters": parameters}],
    }
    answer, found, _ = infer(url, "testmodel", body)
    assert answer.status == 200
    assert found == {
        "model_name": "testmodel",
        "model_version": "1",
        "id": "123",
        "outputs": [{"name": "output-0", "shape": [1, 2], "datatype": "INT32", "data": [1, 2]}],
    }


@port("test_fp16_input_as_binary_data", "FP16 in binary beside texts in JSON")
def test_fp16_in_binary(url: str) -> None:
    body = {
        "inputs": [
            tensor("fp16_input", "FP16", parameters={"binary_data_size": len(FP16)}),
            tensor("str_input", "BYTES", WORDS),
        ]
    }
    text = json.dumps(body).encode()
    headers = {HEADER: str(len(text)), "Content-Type": "application/octet-stream"}
    answer, found, _ = infer(url, "fp16-input-model", text + FP16, headers)
    assert answer.status == 200
    texts, numbers = found["outputs"]
    assert texts["data"] == [word for row in WORDS for word in row]
    assert np.array(numbers["data"], "<f4").tobytes() == HALVES.astype("<f4").tobytes()


JSON_FP16 = "a JSON number is read as the nearest FP16, and an FP16 written as a number"


@port("test_fp16_input_not_binary_data", "FP16 in JSON is refused: 400", JSON_FP16)
def test_fp16_in_json(url: str) -> None:
    body = [tensor("fp16_input", "FP16", HALVES.tolist()), tensor("str_input", "BYTES", WORDS)]
    answer, found, _ = infer(url, "fp16-input-model", {"inputs": body})
    assert answer.status == 200
    assert np.array(found["outputs"][1]["data"], "<f4").tobytes() == HALVES.astype("<f4").tobytes()


@port("test_fp16_output_not_binary_data", "FP16 asked for in JSON is refused: 400", JSON_FP16)
def test_fp16_out_in_json(url: str) -> None:
    answer, found, _ = infer(
        url, "fp16-output-model", fp32_request(outputs=[output("fp16_output")])
    )
    assert answer.status == 200
    assert np.array(found["outputs"][0]["data"], np.float16).tobytes() == FP16


def output(name: str, raw: bool | None = None) -> dict[str, Any]:
    return {"name": name} if raw is None else {"name": name, "parameters": {"binary_data": raw}}


def raw_output(name: str, size: int) -> dict[str, Any]:
    datatype = name.partition("_")[0].upper()
    return tensor(name, datatype, parameters={"binary_data_size": size})


@port("test_fp16_output_as_binary_data", "one output binary, one in JSON; the header's length")
def test_fp16_out_in_binary(url: str) -> None:
    outputs = [output("fp16_output", True), output("fp32_output", False)]
    answer, found, raw = infer(url, "fp16-output-model", fp32_request(outputs=outputs))
    assert answer.status == 200
    assert found["id"] == "123"
    assert found["outputs"][0] == raw_output("fp16_output", 16)
    assert np.array(found["outputs"][1]["data"], "<f4").tobytes() == FP32
    assert raw == FP16


@port("test_requested_output", "only the outputs that are asked for")
def test_one_output(url: str) -> None:
    asked = fp32_request(outputs=[output("fp32_output", False)])
    answer, found, raw = infer(url, "fp16-output-model", asked)
    assert answer.status == 200
    assert [one["name"] for one in found["outputs"]] == ["fp32_output"]
    assert raw == b""


@port("test_all_output_as_binary_data", "binary_data_output: all outputs")
def test_every_output_binary(url: str) -> None:
    asked = fp32_request(parameters={"binary_data_output": True})
    answer, found, raw = infer(url, "fp16-output-model", asked)
    assert answer.status == 200
    assert found["outputs"] == [raw_output("fp16_output", 16), raw_output("fp32_output", 32)]
    assert raw == FP16 + FP32


@port("test_binary_data_parameter_precedence", "an output's own flag wins")
def test_an_outputs_own_flag_wins(url: str) -> None:
    outputs = [output("fp16_output", True), output("fp32_output", False)]
    asked = fp32_request(outputs=outputs, parameters={"binary_data_output": True})
    answer, found, raw = infer(url, "fp16-output-model", asked)
    assert answer.status == 200
    assert "parameters" not in found["outputs"][1]
    assert raw == FP16


@port("test_load", '200, `{"name": ..., "load": true}`')
def test_load(url: str) -> None:
    answer = send("POST", f"{url}/v2/repository/models/testmodel/load", b"")
    assert (answer.status, answer.json()) == (200, {"name": "testmodel", "load": True})


@port("test_unload", '200, `{"name": ..., "unload": true}`')
def test_unload(url: str) -> None:
    answer = send("POST", f"{url}/v2/repository/models/testmodel/unload", b"")
    assert (answer.status, answer.json()) == (200, {"name": "testmodel", "unload": True})


@port("test_load_fail", "a model that does not load: 503", "an unknown model is 404")
def test_load_of_an_unknown_model(url: str) -> None:
    assert send("POST", f"{url}/v2/repository/models/unknown-to-all/load", b"").status == 404


@port("test_unload_fail", "an unknown model: 404")
def test_unload_of_an_unknown_model(url: str) -> None:
    assert send("POST", f"{url}/v2/repository/models/unknown-to-all/unload", b"").status == 404


# ---- version 1 -----------------------------------------------------------------------------------


@port("test_model_v1", "200 for a model that is ready")
def test_model_v1(url: str) -> None:
    answer = send("GET", f"{url}/v1/models/testmodel")
    assert (answer.status, answer.json()) == (200, {"name": "testmodel", "ready": True})


@port("test_unknown_model_v1", "404")
def test_unknown_model_v1(url: str) -> None:
    answer = send("GET", f"{url}/v1/models/invalid")
    assert (answer.status, list(answer.json())) == (404, ["error"])


@port("test_list_models_v1", "the names of all models")
def test_list_v1(url: str) -> None:
    assert "testmodel" in send("GET", f"{url}/v1/models").json()["models"]


@port("test_predict_v1", "`instances` to `predictions`, as application/json")
def test_predict_v1(url: str) -> None:
    answer = send("POST", f"{url}/v1/models/testmodel:predict", b'{"instances":[[1,2]]}')
    assert (answer.status, answer.data) == (200, b'{"predictions":[[1,2]]}')
    assert answer.headers["Content-Type"] == "application/json"


@port("test_explain_v1", "explanations", "a published model explains nothing: 404")
def test_explain_v1(url: str) -> None:
    answer = send("POST", f"{url}/v1/models/testmodel:explain", b'{"instances":[[1,2]]}')
    assert (answer.status, list(answer.json())) == (404, ["error"])


EVENTS = "requests are not CloudEvents; captures are stored as such"


@port("test_predict_ce_structured", "a CloudEvent gets one as its answer", EVENTS)
def test_a_structured_cloud_event(url: str) -> None:
    event = {"specversion": "1.0", "id": "1", "type": "t", "source": "s"}
    answer = send(
        "POST",
        f"{url}/v1/models/testmodel:predict",
        json.dumps({**event, "data": {"instances": [[1, 2]]}}),
        {"Content-Type": "application/cloudevents+json"},
    )
    assert answer.status == 415


@port(
    "test_predict_ce_binary_dict, test_predict_ce_binary_bytes",
    "an answer with `ce-` headers",
    EVENTS,
)
def test_a_binary_cloud_event(url: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t", "ce-source": "s"}
    answer = send("POST", f"{url}/v1/models/testmodel:predict", {"instances": [[1, 2]]}, headers)
    assert (answer.status, answer.data) == (200, b'{"predictions":[[1,2]]}')
    assert not [name for name in answer.headers if name.lower().startswith("ce-")]


@port("test_predict_ce_bytes_bad_format_exception", "a body that is not JSON: 400")
def test_a_body_that_is_not_json(url: str) -> None:
    answer = send("POST", f"{url}/v1/models/testmodel:predict", b"{")
    assert (answer.status, list(answer.json())) == (400, ["error"])


@port("test_predict_ce_bytes_bad_hex_format_exception", "a body that is not UTF-8: 400")
def test_a_body_that_is_not_text(url: str) -> None:
    answer = send("POST", f"{url}/v1/models/testmodel:predict", b"0\x80\x80\x06World!\x00\x00")
    assert (answer.status, list(answer.json())) == (400, ["error"])


# ---- what a published model cannot do ------------------------------------------------------------


@port(
    "test_liveness_v1, test_metrics_v1",
    "`/` is alive, `/metrics` are Prometheus's",
    "Lambda is alive when it is called, and metrics go to CloudWatch: API Gateway's 403",
)
@pytest.mark.parametrize("path", ["", "/metrics"])
def test_no_root(url: str, path: str) -> None:
    assert send("GET", f"{url}{path}").status == 403


@port("test_unknown_path_v1", "404", "API Gateway answers 403 outside the API's own prefixes")
def test_unknown_path(url: str) -> None:
    assert send("GET", f"{url}/unknown_path").status == 403
