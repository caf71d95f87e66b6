"""`sam local start-api`: the API's routes to built functions in containers."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tests.kits.events import jobs, plain
from tests.kits.local_aws import LocalAws, eventually
from tests.sam_local.conftest import HOST, IMAGE, Sam, block, listens, running

pytestmark = pytest.mark.sam_local

READY_SECONDS = 180


@pytest.fixture(scope="module")
def api(sam: Sam) -> Iterator[str]:
    """Its address, with the docs' models published."""
    publish = block("Invoke a function").splitlines()[2]
    assert sam.run(publish).returncode == 0
    start = block("Serve the API").splitlines()[0]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = sam.folder / "start-api.log"
    command = shlex.split(f"{start.removesuffix(' &')} --port {port} {HOST} {IMAGE}")
    with (
        log.open("wb") as output,
        running(command, cwd=sam.folder, env=sam.environ, stdout=output, stderr=output) as process,
    ):

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return listens("127.0.0.1", port)

        eventually(ready, READY_SECONDS)
        yield f"http://127.0.0.1:{port}"
    print(log.read_text())


def ask(
    url: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """The status, our own headers and the parsed body of an answer."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, headers or {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        named = {n: text for n, text in answer.headers.items() if n.startswith("X-Quintet")}
        return answer.status, named, json.loads(answer.read())


def test_the_commands_of_the_docs_give_the_answer_of_the_docs(api: str) -> None:
    _, curl = block("Serve the API").split("\n", 1)
    curl = curl.replace("http://127.0.0.1:3000", api)
    done = subprocess.run(["bash", "-euc", curl], capture_output=True, check=True)
    expected = json.loads(block("Serve the API", "json"))
    assert plain(json.loads(done.stdout)) == plain(expected)


def infer(api: str, raw_in: bool, raw_out: bool, **headers: str) -> Any:
    """tritonclient's result for the kit's `log`."""
    client = triton.InferenceServerClient(api.removeprefix("http://"))
    tensor = triton.InferInput("XY", [2, 2], "FP32")
    tensor.set_data_from_numpy(np.array([[3, 1]] * 2, np.float32), binary_data=raw_in)
    asked = triton.InferRequestedOutput("logs", binary_data=raw_out)
    return client.infer("log", [tensor], outputs=[asked], request_id="mine", headers=headers)


@pytest.mark.parametrize("raw_in", [True, False])
@pytest.mark.parametrize("raw_out", [True, False])
def test_tensors_pass_as_bytes_and_as_json(api: str, raw_in: bool, raw_out: bool) -> None:
    result = infer(api, raw_in, raw_out, Accept="*/*")
    logs = pytest.approx([1.3862944, 0.6931472], rel=1e-6)
    assert result.as_numpy("logs").tolist() == [logs, logs]
    response = result.get_response()
    raw = response["outputs"][0].get("parameters", {}).get("binary_data_size", 0)
    assert (response["model_name"], response["id"], raw) == ("log", "mine", 16 * raw_out)


def test_bytes_of_an_answer_stay_in_base64_for_who_names_nothing_to_accept(api: str) -> None:
    # tritonclient sends no Accept of its own, and needs none on the local AWS
    with pytest.raises(ValueError, match="Parse error"):
        infer(api, raw_in=True, raw_out=True)


def test_a_model_that_is_not_published_is_a_problem_and_no_trace(api: str) -> None:
    status, _, problem = ask(f"{api}/models/nosuch/predict", {"records": [{}]})
    assert len(problem.pop("request_id")) == 36
    expected = "a published model"
    refused = {"row": None, "field": "model", "expected": expected, "got": "'nosuch'"}
    assert (status, problem) == (
        404,
        {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "Request for unknown model: 'nosuch' is not found",
            "errors": [refused],
            "refused": 1,
        },
    )


def test_a_job_is_accepted_for_the_local_aws_to_do(api: str, local: LocalAws) -> None:
    asked = {"records": [{"text": "The zipper of these jeans broke"}]}
    status, served, job = ask(f"{api}/models/tickets/predict", asked, {"Prefer": "respond-async"})
    assert (status, job["state"], job["model"]) == (202, "ACCEPTED", "tickets")
    assert served["X-Quintet-Version"] == "1"
    eventually(lambda: jobs(local).get(job["id"]).state == "DONE", 60)


def test_a_route_that_is_none_is_refused_as_on_aws(api: str) -> None:
    status, _, told = ask(f"{api}/nosuch")
    assert (status, told) == (403, {"message": "Missing Authentication Token"})
