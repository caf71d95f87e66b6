"""MLServer's REST tests in our own words, against the whole of template.yaml on the local AWS."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from tests.clients import ports
from tests.clients.ports import Response, send
from tests.kits.local_aws import LocalAws
from tests.kits.port_models import publish_port_models

port = partial(ports.port, "MLServer")

PATHS = pytest.mark.parametrize("path", ["models/sum-model", "models/sum-model/versions/1"])


@pytest.fixture(scope="module")
def url(local_aws: LocalAws) -> str:
    """The address of the protocol, with the models of MLServer's tests behind it."""
    publish_port_models(local_aws)
    return f"{local_aws.api_url}/v2"


def request(shape: list[int], datatype: str = "INT32") -> dict[str, Any]:
    """A request as `mlserver.types` writes it: every optional member, as null."""
    tensor = {"name": "input-0", "shape": shape, "datatype": datatype, "data": [1, 2, 3]}
    absent: dict[str, Any] = {"id": None, "parameters": None, "outputs": None}
    return {**absent, "inputs": [{**tensor, "parameters": None}]}


def infer(url: str, path: str, body: dict[str, Any]) -> Response:
    return send("POST", f"{url}/{path}/infer", body)


@port("test_live", "200")
def test_live(url: str) -> None:
    assert send("GET", f"{url}/health/live").status == 200


@port("test_ready", "200")
def test_ready(url: str) -> None:
    assert send("GET", f"{url}/health/ready").status == 200


@port("test_model_ready", "200")
def test_model_ready(url: str) -> None:
    assert send("GET", f"{url}/models/sum-model/versions/1/ready").status == 200


@port("test_metadata", "name, version and extensions", "its name and extensions are its own")
def test_metadata(url: str) -> None:
    found = send("GET", url).json()
    assert set(found) == {"name", "version", "extensions"}
    assert found["name"] == "quintet"


NO_DOCS = "the documents are /openapi.json and /models/{model}/openapi.json: 404"


@port("test_openapi, test_docs", "an OpenAPI document and a page of the server", NO_DOCS)
def test_no_pages_of_the_server(url: str) -> None:
    for path in ("docs", "docs/dataplane.json"):
        assert send("GET", f"{url}/{path}").status == 404


@port("test_model_openapi, test_model_docs", "a document and a page of each model", NO_DOCS)
@PATHS
def test_no_pages_of_a_model(url: str, path: str) -> None:
    for page in ("docs", "docs/dataplane.json"):
        assert send("GET", f"{url}/{path}/{page}").status == 404


@port("test_model_metadata", "name, platform, versions and inputs")
def test_model_metadata(url: str) -> None:
    assert send("GET", f"{url}/models/sum-model").json() == {
        "name": "sum-model",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "input-0", "datatype": "INT32", "shape": [-1, 3]}],
        "outputs": [{"name": "total", "datatype": "INT32", "shape": [-1, 1]}],
    }


@port("test_infer", "[1, 2, 3] gives [6]; optional members are null")
@PATHS
def test_infer(url: str, path: str) -> None:
    answer = infer(url, path, request([1, 3]))
    assert answer.status == 200
    (output,) = answer.json()["outputs"]
    assert output == {"name": "total", "shape": [1, 1], "datatype": "INT32", "data": [6]}


@port(
    "test_infer (shape [3])",
    "a model of its own may take a tensor without rows",
    "the first dimension is the rows, and the answer gives the shape to send: [1, 3]",
)
def test_infer_without_rows(url: str) -> None:
    answer = infer(url, "models/sum-model", request([3]))
    assert answer.status == 400
    assert answer.json() == {
        "error": "input-0: expected shape [1, 3] for one row, got shape [3], without the rows"
    }


STREAMS = "a Lambda function behind a REST API answers in one piece: 404"


@port("test_generate, test_generate_stream", "texts, whole or as server-sent events", STREAMS)
@pytest.mark.parametrize("path", ["generate", "generate_stream", "infer_stream"])
def test_no_generated_texts(url: str, path: str) -> None:
    assert send("POST", f"{url}/models/sum-model/{path}", request([1, 3])).status == 404


@port(
    "test_infer_headers",
    "headers of the runtime and of CloudEvents in the answer",
    "a published model sets no headers; CloudEvents are how captures are stored",
)
def test_infer_headers(url: str) -> None:
    path = f"{url}/models/sum-model/infer"
    answer = send("POST", path, request([1, 3]), {"x-foo": "bar"})
    assert answer.status == 200
    assert {"x-foo", "ce-specversion"}.isdisjoint({name.lower() for name in answer.headers})


@port("test_infer_error", "an unknown model or version: 404")
@pytest.mark.parametrize("path", ["models/my-model/versions/v0", "models/sum-model/versions/v0"])
def test_infer_error(url: str, path: str) -> None:
    answer = infer(url, path, request([1, 3]))
    assert answer.status == 404
    assert answer.json()["error"].startswith("Request for unknown model")


@port("test_model_repository_index", "an entry for every model; `ready` is null")
def test_index(url: str) -> None:
    answer = send("POST", f"{url}/repository/index", {"ready": None})
    assert answer.status == 200
    assert {"name": "sum-model", "version": "1", "state": "READY", "reason": ""} in answer.json()


@port(
    "test_model_repository_unload",
    "200; the model's metadata is 404 then",
    "publishing decides what is served: `unload` frees memory only",
)
def test_unload(url: str) -> None:
    assert send("POST", f"{url}/repository/models/sum-model/unload").status == 200
    assert send("GET", f"{url}/models/sum-model").status == 200


@port("test_model_repository_load", "200, after `unload`; the model has metadata again")
def test_load(url: str) -> None:
    assert send("POST", f"{url}/repository/models/sum-model/unload").status == 200
    assert send("POST", f"{url}/repository/models/sum-model/load").status == 200
    assert send("GET", f"{url}/models/sum-model").status == 200


@port("test_model_repository_load_error", "an unknown model: 404")
def test_load_error(url: str) -> None:
    assert send("POST", f"{url}/repository/models/my-model/load").status == 404


@port(
    "test_infer_invalid_datatype_error",
    "an unknown datatype: 422",
    "it is 400, as the protocol says for a client's mistake",
)
def test_unknown_datatype(url: str) -> None:
    answer = infer(url, "models/sum-model", request([1, 3], "QINT32"))
    assert answer.status == 400
    assert answer.json()["error"].startswith("input-0: expected a datatype of BOOL, INT8")
