"""Triton's qa/L0_http in our own words, against the whole of template.yaml on the local AWS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tests.clients import ports
from tests.clients.ports import Response, send
from tests.kits.local_aws import LocalAws
from tests.kits.port_models import publish_port_models
from tritonclient.utils import InferenceServerException

port = partial(ports.port, "Triton")
HEADER = "Inference-Header-Content-Length"
EIGHT = np.arange(8, dtype=np.float32)
SIXTEEN = list(range(1, 17))


@pytest.fixture(scope="module")
def url(local_aws: LocalAws) -> str:
    """The API's address, with the models of Triton's tests behind it."""
    publish_port_models(local_aws)
    return local_aws.api_url


@pytest.fixture
def client(url: str) -> Any:
    return triton.InferenceServerClient(url.removeprefix("http://"))


def infer(url: str, model: str, body: Any, headers: dict[str, str] | None = None) -> Response:
    """POST a value as JSON, or a body as it is."""
    return send("POST", f"{url}/v2/models/{model}/infer", body, headers)


def raw_answer(url: str, model: str, body: bytes, **headers: str) -> bytes:
    """The raw outputs of a request whose body is the tensor alone."""
    answer = infer(url, model, body, {HEADER: "0", **headers})
    assert answer.status == 200, answer.data
    return bytes(answer.data[int(answer.headers[HEADER]) :])


# ---- http_test.py --------------------------------------------------------------------------------


@port("test_raw_binary", "a body without JSON is the tensor of the only input")
def test_a_raw_body_is_the_only_tensor(url: str) -> None:
    assert raw_answer(url, "identity_float32", EIGHT.tobytes()) == EIGHT.tobytes()


@port("test_raw_binary_longer", "its shape follows from its size")
def test_a_raw_body_has_as_many_rows_as_bytes_for_them(url: str) -> None:
    body = np.arange(32, dtype=np.float32).tobytes()
    assert raw_answer(url, "identity_float32", body) == body


@port("test_byte", "a raw body of BYTES is one string, without its length")
def test_a_raw_body_is_one_text(url: str) -> None:
    assert raw_answer(url, "identity_text", b"427")[4:] == b"427"


@port("test_byte_too_many_elements", "a raw body cannot be several strings: 400")
def test_a_raw_body_is_not_several_texts(url: str) -> None:
    answer = infer(url, "identity_texts", b"427", {HEADER: "0"})
    assert answer.status == 400
    assert "a row of INPUT0 has several strings" in answer.json()["error"]


@port("test_multi_variable_dimensions", "a raw body cannot have several free dimensions: 400")
def test_a_raw_body_has_one_free_dimension(url: str) -> None:
    answer = infer(url, "identity_float16", np.ones(4, np.float16).tobytes(), {HEADER: "0"})
    assert answer.status == 400
    assert "INPUT0 has several free dimensions" in answer.json()["error"]


@port("test_multi_inputs", "a raw body cannot be several inputs: 400")
def test_a_raw_body_is_not_several_inputs(url: str) -> None:
    answer = infer(url, "simple", np.arange(32, dtype=np.int32).tobytes(), {HEADER: "0"})
    assert answer.status == 400
    assert "simple has 2 inputs" in answer.json()["error"]


@port("test_content_encoding_chunked_manually", "a request may come in chunks")
def test_a_body_in_chunks(url: str) -> None:
    def chunks() -> Any:
        yield EIGHT.tobytes()[:10]
        yield EIGHT.tobytes()[10:]

    answer = infer(url, "identity_float32", chunks(), {HEADER: "0"})
    assert answer.status == 200
    assert answer.data[int(answer.headers[HEADER]) :] == EIGHT.tobytes()


@port("test_content_encoding_unsupported_client", "the client itself refuses Transfer-Encoding")
@pytest.mark.parametrize("encoding", ["chunked", "compress", "deflate", "gzip"])
def test_the_client_refuses_a_transfer_encoding(client: Any, encoding: str) -> None:
    tensor = triton.InferInput("INPUT0", [1, 8], "FP32")
    tensor.set_data_from_numpy(EIGHT.reshape(1, 8))
    with pytest.raises(InferenceServerException, match="Unsupported HTTP header"):
        client.infer("identity_float32", [tensor], headers={"Transfer-Encoding": encoding})


@port("test_buffer_size_overflow", "a shape whose size overflows 64 bits is refused: 400")
@pytest.mark.parametrize("rows", [2**4, 2**2])
def test_a_shape_that_overflows(url: str, rows: int) -> None:
    tensor = {"name": "INPUT0", "shape": [rows, 2**60 + 2], "datatype": "FP32", "data": [1.0]}
    answer = infer(url, "identity_float32", {"inputs": [tensor]})
    assert answer.status == 400
    assert "INPUT0: expected a shape of whole numbers from 0" in answer.json()["error"]


@port(
    "test_negative_dimensions",
    "a negative dimension is refused: 500",
    "it is the caller's mistake: 400",
)
def test_a_negative_dimension(url: str) -> None:
    tensor = {"name": "INPUT0", "shape": [2, -5], "datatype": "FP32", "data": [1.0]}
    answer = infer(url, "identity_float32", {"inputs": [tensor]})
    assert answer.status == 400
    assert "a shape of whole numbers from 0, got [2, -5]" in answer.json()["error"]


@port("test_loading_large_invalid_model", "a model in a load request is refused")
def test_a_model_in_a_load_request(url: str) -> None:
    parameters = {"config": '{"backend": "onnxruntime"}', "file:1/model.onnx": "QUFB" * 1000}
    path = f"{url}/v2/repository/models/simple/load"
    answer = send("POST", path, {"parameters": parameters})
    assert (answer.status, set(answer.json())) == (400, {"error"})


@port("test_json_recursion_depth_limit (120 levels)", "data of 120 levels is refused")
def test_data_of_too_many_levels(url: str) -> None:
    data = json.loads("[" * 120 + '"hello"' + "]" * 120)
    tensor = {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 1], "data": data}
    assert infer(url, "identity_text", {"inputs": [tensor]}).status == 400


@port(
    "test_json_recursion_depth_limit (50 levels)",
    "data of 50 levels is read, whatever its shape",
    "nested data must be nested as its shape, or be flat",
)
def test_data_of_more_levels_than_its_shape(url: str) -> None:
    data = json.loads("[" * 50 + '"hello"' + "]" * 50)
    tensor = {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 1], "data": data}
    answer = infer(url, "identity_text", {"inputs": [tensor]})
    assert answer.status == 400
    assert "nested as its shape [1, 1]" in answer.json()["error"]


@port("test_duplicate_output_names", "an output requested twice is refused: 400")
def test_an_output_asked_for_twice(url: str) -> None:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 8], "data": [EIGHT.tolist()]}
    asked = {"inputs": [tensor], "outputs": [{"name": "OUTPUT0"}] * 2}
    answer = infer(url, "identity_float32", asked)
    assert answer.status == 400
    assert "'OUTPUT0' twice" in answer.json()["error"]
    assert send("GET", f"{url}/v2/health/live").status == 200


# ---- http_input_size_limit_test.py ---------------------------------------------------------------

SIZE = "the limit is the contract's `limits.bytes`, at most 4.5 MB; the status is 413"


@port("test_default_limit_rejection_raw_binary", "64 MB are taken, more is refused: 400", SIZE)
def test_a_raw_body_that_is_too_large(url: str) -> None:
    answer = infer(url, "identity_float32", bytes(4_600_000), {HEADER: "0"})
    assert answer.status == 413
    assert "body: expected at most 4500000 bytes" in answer.json()["error"]


@port("test_default_limit_rejection_json", "64 MB are taken, more is refused: 400", SIZE)
def test_a_json_body_that_is_too_large(url: str) -> None:
    answer = infer(url, "identity_float32", '{"inputs": [' + "1.0, " * 920_000 + "1]}")
    assert answer.status == 413
    assert "body: expected at most 4500000 bytes" in answer.json()["error"]


# ---- python_http_aio_test.py ---------------------------------------------------------------------


def ask(url: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
    """What Triton's asyncio client gets."""

    async def run() -> Any:
        async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
            return await call(client)

    return asyncio.run(run())


@port("test_is_server_live", "true")
def test_aio_live(url: str) -> None:
    assert ask(url, lambda client: client.is_server_live()) is True


@port("test_is_server_ready", "true")
def test_aio_ready(url: str) -> None:
    assert ask(url, lambda client: client.is_server_ready()) is True


@port("test_is_model_ready", "true")
def test_aio_model_ready(url: str) -> None:
    assert ask(url, lambda client: client.is_model_ready("simple")) is True


@port("test_get_server_metadata", "its name is triton", "its name is quintet")
def test_aio_server_metadata(url: str) -> None:
    assert ask(url, lambda client: client.get_server_metadata())["name"] == "quintet"


@port("test_get_model_metadata", "the model's name and tensors")
def test_aio_model_metadata(url: str) -> None:
    found = ask(url, lambda client: client.get_model_metadata("simple"))
    assert found["name"] == "simple"
    assert found["inputs"] == [
        {"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("INPUT0", "INPUT1")
    ]


@port("test_get_model_config", "the model's configuration")
def test_aio_model_config(url: str) -> None:
    assert ask(url, lambda client: client.get_model_config("simple"))["name"] == "simple"


@port("test_get_model_repository_index", "an entry for every model")
def test_aio_index(url: str) -> None:
    found = ask(url, lambda client: client.get_model_repository_index())
    assert {"name": "simple", "version": "1", "state": "READY", "reason": ""} in found


@port(
    "test_load_model",
    "refused, because the server polls its repository",
    "`load` loads the live version in the environment that answers",
)
def test_aio_load(url: str) -> None:
    ask(url, lambda client: client.load_model("simple"))


@port(
    "test_unload_model",
    "refused, because the server polls its repository",
    "`unload` frees memory in the environment that answers",
)
def test_aio_unload(url: str) -> None:
    ask(url, lambda client: client.unload_model("simple"))


@port("test_get_inference_statistics", "statistics of all models")
def test_aio_statistics(url: str) -> None:
    assert list(ask(url, lambda client: client.get_inference_statistics())) == ["model_stats"]


TRACES = "traces go to X-Ray; the trace extension is not announced: 404"
MEMORY = "a client shares no memory with a function; the extension is not announced: 404"


def refused(url: str, call: Callable[[Any], Awaitable[Any]]) -> str | None:
    """The status of a call that fails."""
    with pytest.raises(InferenceServerException) as caught:
        ask(url, call)
    status: str | None = caught.value.status()
    return status


@port("test_update_trace_settings, test_get_trace_settings", "the settings of traces", TRACES)
def test_aio_traces(url: str) -> None:
    assert refused(url, lambda client: client.update_trace_settings()) == "404"
    assert refused(url, lambda client: client.get_trace_settings()) == "404"


@port("test_get_system_shared_memory_status", "the shared regions", MEMORY)
def test_aio_system_memory(url: str) -> None:
    assert refused(url, lambda client: client.get_system_shared_memory_status()) == "404"


@port("test_register_system_shared_memory", "a region without name and key is refused")
def test_aio_register_system_memory(url: str) -> None:
    assert refused(url, lambda client: client.register_system_shared_memory("", "", 0))


@port("test_unregister_system_shared_memory", "done", MEMORY)
def test_aio_unregister_system_memory(url: str) -> None:
    assert refused(url, lambda client: client.unregister_system_shared_memory()) == "404"


@port("test_get_cuda_shared_memory_status", "the shared regions", MEMORY)
def test_aio_cuda_memory(url: str) -> None:
    assert refused(url, lambda client: client.get_cuda_shared_memory_status()) == "404"


@port("test_register_cuda_shared_memory", "a region without name and handle is refused")
def test_aio_register_cuda_memory(url: str) -> None:
    assert refused(url, lambda client: client.register_cuda_shared_memory("", b"", 0, 0))


@port("test_unregister_cuda_shared_memory", "done", MEMORY)
def test_aio_unregister_cuda_memory(url: str) -> None:
    assert refused(url, lambda client: client.unregister_cuda_shared_memory()) == "404"


# ---- test.sh: combinations of JSON and binary, as curl sends them --------------------------------

SUM, DIFFERENCE = [2 * value for value in SIXTEEN], [0] * 16


def simple_inputs(count: int = 16) -> list[dict[str, Any]]:
    data = list(range(1, count + 1))
    tensor = {"datatype": "INT32", "shape": [1, 16], "data": data}
    return [{"name": name, **tensor} for name in ("INPUT0", "INPUT1")]


def simple_answer(url: str, **asked: Any) -> list[Any]:
    """The two outputs; `asked` are the request's other members. Binary ones come as bytes."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl -d says
    answer = infer(url, "simple", {"inputs": simple_inputs(), **asked}, form)
    assert answer.status == 200, answer.data
    size = int(answer.headers.get(HEADER, len(answer.data)))
    raw, found = answer.data[size:], list[Any]()
    for output in json.loads(answer.data[:size])["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size", 0)
        data, raw = raw[:length], raw[length:]
        found.append(output.get("data", data))
    return found


def binary(values: list[int]) -> bytes:
    return np.array(values, "<i4").tobytes()


def output(name: str, raw: bool | None = None) -> dict[str, Any]:
    return {"name": name} if raw is None else {"name": name, "parameters": {"binary_data": raw}}


@port("test.sh: no parameters, no outputs", "outputs in JSON")
def test_json_outputs(url: str) -> None:
    assert simple_answer(url) == [SUM, DIFFERENCE]


@port("test.sh: binary_data true, false", "the first output is binary")
def test_one_binary_output(url: str) -> None:
    outputs = [output("OUTPUT0", True), output("OUTPUT1", False)]
    assert simple_answer(url, outputs=outputs) == [binary(SUM), DIFFERENCE]


@port("test.sh: binary_data true, not given", "the first output is binary")
def test_one_binary_output_by_default(url: str) -> None:
    outputs = [output("OUTPUT0", True), output("OUTPUT1")]
    assert simple_answer(url, outputs=outputs) == [binary(SUM), DIFFERENCE]


@port("test.sh: binary_data_output", "both outputs are binary")
def test_every_output_binary(url: str) -> None:
    found = simple_answer(url, parameters={"binary_data_output": True})
    assert found == [binary(SUM), binary(DIFFERENCE)]


@port("test.sh: binary_data_output, binary_data false, not given", "an output's own flag wins")
def test_an_outputs_own_flag_wins(url: str) -> None:
    outputs = [output("OUTPUT0", False), output("OUTPUT1")]
    found = simple_answer(url, outputs=outputs, parameters={"binary_data_output": True})
    assert found == [SUM, binary(DIFFERENCE)]


@port("test.sh: fewer and more data than the shape", "refused: 400; the server goes on")
@pytest.mark.parametrize("count", [15, 18])
def test_data_that_does_not_fit_its_shape(url: str, count: int) -> None:
    answer = infer(url, "simple", {"inputs": simple_inputs(count)})
    assert answer.status == 400
    assert f"INPUT0: expected 16 elements, as its shape says, got {count}" in answer.json()["error"]
    assert simple_answer(url) == [SUM, DIFFERENCE]


# ---- test.sh: the example clients ----------------------------------------------------------------


def simple_tensors() -> list[Any]:
    tensors = [triton.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor, raw in zip(tensors, (True, False), strict=True):
        tensor.set_data_from_numpy(np.array([SIXTEEN], dtype=np.int32), binary_data=raw)
    return tensors


def outputs_of(result: Any) -> list[list[int]]:
    return [result.as_numpy(name)[0].tolist() for name in ("OUTPUT0", "OUTPUT1")]


@port("simple_http_health_metadata.py", "health and metadata; an error for an unknown model")
def test_the_health_example(client: Any) -> None:
    assert client.is_server_live(query_params={"test_1": 1, "test_2": 2})
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert client.get_model_metadata("simple")["name"] == "simple"
    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        client.get_model_metadata("wrong_model_name")


@port("simple_http_infer_client.py", "sum and difference; one entry of statistics")
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_the_infer_example(client: Any, packed: str | None) -> None:
    asked = [triton.InferRequestedOutput(n, binary_data=True) for n in ("OUTPUT0", "OUTPUT1")]
    result = client.infer(
        "simple",
        simple_tensors(),
        outputs=asked,
        query_params={"test_1": 1},
        headers={"test": "1"},
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    assert outputs_of(result) == [SUM, DIFFERENCE]
    assert len(client.get_inference_statistics("simple")["model_stats"]) == 1


@port("simple_http_async_infer_client.py", "requests in flight at once")
def test_the_async_example(client: Any) -> None:
    calls = [client.async_infer("simple", simple_tensors()) for _ in range(2)]
    assert [outputs_of(call.get_result()) for call in calls] == [[SUM, DIFFERENCE]] * 2


@port("reuse_infer_objects_client.py", "inputs and outputs may be used again, whole or in part")
def test_the_example_that_reuses_objects(client: Any) -> None:
    tensors, asked = simple_tensors(), [triton.InferRequestedOutput("OUTPUT0")]
    for _ in range(2):
        result = client.infer("simple", tensors, outputs=asked)
        assert result.as_numpy("OUTPUT0")[0].tolist() == SUM
        assert result.as_numpy("OUTPUT1") is None
        assert outputs_of(client.infer("simple", tensors)) == [SUM, DIFFERENCE]


@port("test.sh: a base path in the URL", "an unknown prefix is not found")
def test_an_unknown_base_path(url: str) -> None:
    client = triton.InferenceServerClient(f"{url.removeprefix('http://')}/base_path")
    with pytest.raises(InferenceServerException):
        client.infer("simple", simple_tensors())


@port(
    "simple_http_model_control.py",
    "after `unload`, a model is not ready",
    "publishing decides what is served: its next request loads the model again",
)
def test_the_example_of_model_control(client: Any) -> None:
    client.load_model("simple")
    assert client.is_model_ready("simple")
    client.unload_model("simple")
    assert client.is_model_ready("simple")
    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        client.load_model("wrong_model_name")
