"""HTTP as people send it: plain clients against the whole of template.yaml on the local AWS."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tests.kits.local_aws import LocalAws
from tests.kits.models import LOG, publish, renamed

from quintet.contract import Limits

PAGE = "https://shop.example"  # which tests/conftest.py lets call the API
LOGS = [pytest.approx(1.3862944, rel=1e-6), pytest.approx(0.6931472, rel=1e-6)]
ROW = {"records": [{"x": 3, "y": 1}]}


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> str:
    """The API's address, with a model published behind it."""
    outputs = local_aws.outputs
    publish(
        renamed(LOG, name="plain", limits=Limits(rows=100)),
        local_aws.client("s3"),
        local_aws.client("dynamodb"),
        outputs["RegistryBucketName"],
        outputs["RegistryTableName"],
    )
    return local_aws.api_url


def send(
    api: str, method: str, path: str, *headers: tuple[str, str], body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """A request with these header lines and no others."""
    connection = http.client.HTTPConnection(urlsplit(api).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (*headers, ("Content-Length", f"{len(body)}")):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_preferences_on_two_lines_are_one_list(api: str) -> None:
    lines = (("Prefer", "respond-async"), ("Prefer", "wait=10"))
    body = json.dumps(ROW).encode()
    status, headers, _ = send(api, "POST", "/models/plain/predict", *lines, body=body)
    assert (status, headers["Preference-Applied"]) == (202, "respond-async")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_fetch_of_node_sends_json_as_plain_text(api: str) -> None:
    script = f"""
    const answer = await fetch({json.dumps(api + "/models/plain/predict")},
                               {{method: "POST", body: JSON.stringify({json.dumps(ROW)})}});
    const large = await fetch({json.dumps(api + "/models/plain/predict")},
                              {{method: "POST", body: JSON.stringify({{records: [{{x: 1e20}}]}})}});
    console.log(JSON.stringify([answer.status, await answer.json(), large.status]));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, check=True
    )
    status, found, large = json.loads(done.stdout)
    assert (status, found["predictions"], large) == (200, [{"logs": LOGS}], 200)


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("application/json;q=0.1, text/*", "text/csv; charset=utf-8", b"1.3862944,0.6931472\n"),
        ("application/x-ndjson", "application/x-ndjson", b'{"logs":[1.3862944,0.6931472]}\n'),
    ],
)
def test_the_answer_is_of_the_preferred_type(
    api: str, accept: str, content_type: str, body: bytes
) -> None:
    answer = requests.post(
        f"{api}/endpoints/plain/invocations",
        data=b"3,1\n",
        headers={"Content-Type": "text/csv", "Accept": accept},
        timeout=30,
    )
    assert (answer.headers["Content-Type"], answer.content) == (content_type, body)


def test_a_long_answer_is_compressed_where_asked(api: str) -> None:
    url, body = f"{api}/models/plain/predict", {"records": ROW["records"] * 100}
    plain = requests.post(url, json=body, headers={"Accept-Encoding": "identity"}, timeout=30)
    packed = requests.post(url, json=body, timeout=30)  # it asks for gzip by itself
    assert (plain.headers.get("Content-Encoding"), packed.headers["Content-Encoding"]) == (
        None,
        "gzip",
    )
    assert packed.json() == plain.json()
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 10
    asked = json.dumps(ROW).encode()
    short = send(api, "POST", "/models/plain/predict", ("Accept-Encoding", "gzip"), body=asked)
    assert short[1]["Content-Encoding"] is None


@pytest.mark.parametrize("raw", [True, False])
def test_tritons_clients_read_long_answers_compressed(api: str, raw: bool) -> None:
    rows, url = np.array([[3, 1]] * 100, dtype=np.float32), api.removeprefix("http://")

    def asked(client: Any) -> dict[str, Any]:
        tensor = client.InferInput("XY", [100, 2], "FP32")
        tensor.set_data_from_numpy(rows, binary_data=raw)
        output = client.InferRequestedOutput("logs", binary_data=raw)
        named = {"inputs": [tensor], "outputs": [output]}
        return {**named, "response_compression_algorithm": "gzip"}

    async def awaited() -> Any:
        # it asks for gzip in every request, but decompresses inferences alone
        async with triton_aio.InferenceServerClient(url) as client:
            await client.get_model_config("plain")
            await client.get_model_repository_index()
            return await client.infer("plain", **asked(triton_aio))

    client: Any = triton.InferenceServerClient(url)
    for result in (client.infer("plain", **asked(triton)), asyncio.run(awaited())):
        assert result.as_numpy("logs").tolist() == [LOGS] * 100


@pytest.mark.parametrize("path", ["/v2", "/v2/models/plain", "/v1/models/plain", "/jobs", "/runs"])
def test_head_and_options_stand_where_get_does(api: str, path: str) -> None:
    # the model of this module has no runs; its jobs change while they are asked for
    asked = path + {"/runs": "?model=plain", "/jobs": "?model=nosuch"}.get(path, "")
    status, headers, body = send(api, "GET", asked)
    head = send(api, "HEAD", asked)
    assert (status, head[0], head[2]) == (200, 200, b"")
    for name in ("Content-Type", "Content-Length"):
        assert head[1][name] == headers[name]
    assert len(body) == int(headers["Content-Length"])
    options = send(api, "OPTIONS", path)
    assert (options[0], options[2]) == (204, b"")
    assert {"GET", "HEAD", "OPTIONS"} <= set(options[1]["Allow"].split(", "))


def test_a_page_of_a_named_origin_may_call_the_api_and_others_may_not(api: str) -> None:
    url, origin = f"{api}/models/plain/predict", {"Origin": PAGE}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own"}
    preflight = requests.options(url, headers=origin | asked, timeout=30)
    assert preflight.status_code == 204
    assert {n: v for n, v in preflight.headers.items() if n.startswith("Access-Control")} == {
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Methods": "OPTIONS, POST",
        "Access-Control-Allow-Headers": "x-own",
        "Access-Control-Max-Age": "7200",
    }
    for body, status in ((ROW, 200), ({}, 400)):
        answer = requests.post(url, json=body, headers=origin, timeout=30)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, PAGE)
    other = requests.post(url, json=ROW, headers={"Origin": "https://other.example"}, timeout=30)
    assert other.status_code == 403


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/models/plain/nothing", "detail"),
        ("/models//predict", "detail"),
        ("/models/%zz/%ff%", "detail"),
        ("/jobs/a/b", "detail"),
        ("/runs/a/b/c", "detail"),
        ("/scores", "detail"),
        ("/v1/nothing", "error"),
        ("/v1/models/plain:explain/x", "error"),
        ("/v2/nothing", "error"),
        ("/v2/models//ready", "error"),
        ("/v2/%zz", "error"),
        ("/endpoints/plain/nothing", "Message"),
        ("/endpoints", "Message"),
    ],
)
def test_an_unknown_path_is_a_404_in_the_form_of_its_prefix(api: str, path: str, key: str) -> None:
    for method in ("GET", "POST"):
        status, _, body = send(api, method, path)
        assert (status, key in json.loads(body)) == (404, True), body


def test_a_slash_at_the_end_makes_no_difference_as_in_api_gateway(api: str) -> None:
    assert send(api, "GET", "/v2/")[0] == send(api, "GET", "/v2/models/plain/")[0] == 200


def test_kserves_v1_answers(api: str) -> None:
    rows = {"instances": [[3, 1]]}
    answer = requests.post(f"{api}/v1/models/plain:predict", json=rows, timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"predictions": [LOGS]})
    assert answer.headers["X-Quintet-Version"] == "1"
    ready = requests.get(f"{api}/v1/models/plain", timeout=30)
    assert ready.json() == {"name": "plain", "ready": True}
    assert "plain" in requests.get(f"{api}/v1/models", timeout=30).json()["models"]
    later = requests.post(
        f"{api}/v1/models/plain:predict", json=rows, headers={"Prefer": "respond-async"}, timeout=30
    )
    assert later.status_code == 202
