"""Unmodified clients against the whole of template.yaml on the local AWS."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from botocore.exceptions import ClientError
from tests.kits.local_aws import LocalAws
from tests.kits.models import CONTRACTS, ECHO_DTYPES, publish, shop_probability
from tritonclient.utils import InferenceServerException

LOGS = pytest.approx([1.3862944, 0.6931472], rel=1e-6)


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> str:
    """The API's address, with the kit's models published behind it."""
    outputs = local_aws.outputs
    for contract in CONTRACTS.values():
        publish(
            contract,
            local_aws.client("s3"),
            local_aws.client("dynamodb"),
            outputs["RegistryBucketName"],
            outputs["RegistryTableName"],
        )
    return local_aws.api_url


# ---- tritonclient ------------------------------------------------------------------------------


@pytest.fixture
def client(api: str) -> Any:
    return triton.InferenceServerClient(api.removeprefix("http://"))


def log_input(raw: bool, rows: int = 1, client: Any = triton) -> Any:
    tensor = client.InferInput("XY", [rows, 2], "FP32")
    tensor.set_data_from_numpy(np.array([[3, 1]] * rows, dtype=np.float32), binary_data=raw)
    return tensor


def test_triton_asks_about_the_server_and_its_models(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("log")
    assert client.is_model_ready("log", "1")
    assert not client.is_model_ready("log", "9")
    assert not client.is_model_ready("nope")
    assert client.get_server_metadata()["name"] == "quintet"
    assert client.get_model_metadata("log") == {
        "name": "log",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "XY", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "logs", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert client.get_model_config("log")["max_batch_size"] == 10
    names = {model["name"] for model in client.get_model_repository_index()}
    assert names >= set(CONTRACTS)
    client.load_model("log")
    client.infer("log", [log_input(raw=True)])
    (statistics,) = client.get_inference_statistics("log")["model_stats"]
    assert (statistics["name"], statistics["version"]) == ("log", "1")


@pytest.mark.parametrize("raw_in", [True, False])
@pytest.mark.parametrize("raw_out", [True, False, None])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_triton_infers(client: Any, raw_in: bool, raw_out: bool | None, packed: str | None) -> None:
    outputs = None
    if raw_out is not None:
        outputs = [triton.InferRequestedOutput("logs", binary_data=raw_out)]
    result = client.infer(
        "log",
        [log_input(raw_in, rows=2)],
        outputs=outputs,
        request_id="mine",
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    found = result.as_numpy("logs")
    assert (found.dtype, found.shape) == (np.float32, (2, 2))
    assert found.tolist() == [LOGS, LOGS]
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (
        "log",
        "1",
        "mine",
    )


@pytest.mark.parametrize("raw", [True, False])
def test_triton_sends_and_gets_every_datatype(client: Any, raw: bool) -> None:
    inputs, sent = [], {}
    for dtype in ECHO_DTYPES:
        values: Any = np.array([[1, 0], [0, 1]]).astype("float16" if dtype == "string" else dtype)
        name = {"bool": "BOOL", "string": "BYTES"}.get(dtype, dtype.upper().replace("FLOAT", "FP"))
        if dtype == "string":
            values = np.array([["näme", ""], ["€", "x" * 300]], dtype=object)
        tensor = triton.InferInput(f"in_{dtype}", [2, 2], name)
        # its JSON knows no FP16
        tensor.set_data_from_numpy(values, binary_data=raw or dtype == "float16")
        inputs.append(tensor)
        sent[dtype] = values
    asked = [
        triton.InferRequestedOutput(f"out_{d}", binary_data=raw or d == "float16")
        for d in ECHO_DTYPES
    ]
    result = client.infer("echo", inputs, outputs=asked)
    for dtype in ECHO_DTYPES:
        found = result.as_numpy(f"out_{dtype}")
        if dtype == "string":
            texts = [v.decode() if isinstance(v, bytes) else v for v in found.ravel().tolist()]
            assert texts == sent[dtype].ravel().tolist()
        else:
            assert (found.dtype, found.tolist()) == (sent[dtype].dtype, sent[dtype].tolist())


def test_triton_hears_of_unknown_models_and_bad_tensors(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"^\[404\] Request for unknown model"):
        client.infer("nope", [log_input(raw=True)])
    wrong = triton.InferInput("XY", [1, 3], "FP32")
    wrong.set_data_from_numpy(np.ones((1, 3), dtype=np.float32))
    with pytest.raises(InferenceServerException, match=r"XY: expected shape \[1, 2\]"):
        client.infer("log", [wrong])


def test_tritons_asyncio_client_infers(api: str) -> None:
    async def infer() -> Any:
        async with triton_aio.InferenceServerClient(api.removeprefix("http://")) as client:
            assert await client.is_model_ready("log")
            inputs = [log_input(raw=True, client=triton_aio)]
            asked = [
                client.infer("log", inputs, request_compression_algorithm=packed)
                for packed in (None, "gzip", "deflate", None)
            ]
            return await asyncio.gather(*asked)

    for result in asyncio.run(infer()):
        assert result.as_numpy("logs").tolist() == [LOGS]


# ---- boto3's sagemaker-runtime -------------------------------------------------------------------


@pytest.fixture
def runtime(api: str) -> Any:
    make: Any = boto3.client
    return make(
        "sagemaker-runtime",
        endpoint_url=api,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"3,1\n", "text/csv"),
        (b'{"instances": [[3, 1]]}', "application/json"),
        (b'{"x": 3, "y": 1}', "application/jsonlines"),
    ],
)
def test_boto3_invokes_an_endpoint(runtime: Any, body: bytes, content_type: str) -> None:
    answer = runtime.invoke_endpoint(
        EndpointName="log",
        ContentType=content_type,
        Accept="application/json",
        Body=body,
        CustomAttributes="trace=7",
    )
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "v1")
    assert answer["CustomAttributes"] == "trace=7"
    assert json.loads(answer["Body"].read())["predictions"] == [{"logs": LOGS}]


def test_boto3_sends_and_gets_npy(runtime: Any) -> None:
    file = io.BytesIO()
    np.save(file, np.array([[3.0, 1.0]] * 3))
    kind = "application/x-npy"
    answer = runtime.invoke_endpoint(
        EndpointName="log", ContentType=kind, Accept=kind, Body=file.getvalue(), TargetVariant="v1"
    )
    assert np.load(io.BytesIO(answer["Body"].read())).tolist() == [LOGS] * 3


def test_boto3_reads_a_response_stream(runtime: Any) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="log",
        ContentType="application/json",
        Accept="text/csv",
        Body=b"[[3, 1], [3, 1]]",
        CustomAttributes="trace=7",
    )
    assert answer["ContentType"] == "text/csv; charset=utf-8"
    assert (answer["InvokedProductionVariant"], answer["CustomAttributes"]) == ("v1", "trace=7")
    parts = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert parts == b"1.3862944,0.6931472\n" * 2
    with pytest.raises(ClientError, match="row 0: x: expected a number"):
        runtime.invoke_endpoint_with_response_stream(
            EndpointName="log", ContentType="text/csv", Body=b"a,1\n"
        )


def test_boto3_hears_of_bad_input_and_of_a_model_that_fails(runtime: Any) -> None:
    def ask(body: bytes, name: str = "log") -> Any:
        with pytest.raises(ClientError) as caught:
            runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=body)
        return caught.value.response

    assert ask(b"3,1\n", "nope")["Error"]["Code"] == "ValidationError"
    bad = ask(b"a,1\n")["Error"]
    assert bad["Code"] == "ValidationError"
    assert bad["Message"] == "row 0: x: expected a number (float32), got 'a'"
    failed = ask(b"-3,1\n")
    assert failed["Error"]["Code"] == "ModelError"
    assert failed["OriginalStatusCode"] == 500
    assert failed["OriginalMessage"] == "row 0: logs: expected a finite output, got nan"


# ---- curl, and the records form ------------------------------------------------------------------


def curl(*arguments: str) -> tuple[int, dict[str, str], bytes]:
    done = subprocess.run(["curl", "-sS", "-i", *arguments], capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    return int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, body


def test_curl_scores_records_with_stored_features(
    api: str, local_aws: LocalAws, tmp_path: Path
) -> None:
    file = tmp_path / "features.csv"
    file.write_text("customer,orders_90d\nc1,4\n")
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("quintet")), "features", "load", str(file)),
            *("--model", "shop", "--state", str(local_aws.state)),
        ],
        check=True,
    )
    status, headers, body = curl(
        *("-H", "Content-Type: application/json", "-H", "X-Request-Id: curl-1"),
        *("-d", '{"records": [{"customer": "c1", "amount": 100}, {"customer": "x", "amount": 1}]}'),
        f"{api}/models/shop/predict",
    )
    assert (status, headers["x-request-id"], headers["x-quintet-version"]) == (200, "curl-1", "3")
    found = json.loads(body)["predictions"]
    assert [prediction["fallback"] for prediction in found] == [False, True]
    assert found[0]["probability"] == pytest.approx(shop_probability(100, 1, 4), rel=1e-6)
    assert 0 <= found[0]["features_age_s"]["orders_90d"] < 3600


def test_curl_is_told_what_is_wrong(api: str) -> None:
    for kind, expected, field in (
        ("application/x-www-form-urlencoded", 400, "records"),  # what curl -d says by itself
        ("text/csv", 415, "Content-Type"),
    ):
        url = f"{api}/models/log/predict"
        status, headers, body = curl("-d", "{}", "-H", f"Content-Type: {kind}", url)
        assert (status, headers["content-type"]) == (expected, "application/problem+json")
        assert json.loads(body)["errors"][0]["field"] == field


def test_each_request_has_one_log_line(api: str, local_aws: LocalAws) -> None:
    status, _, _ = curl("-H", "X-Request-Id: log-line-1", f"{api}/v2/models/log")
    assert status == 200
    lines = [line for line in local_aws.logs("Predict").splitlines() if "log-line-1" in line]
    assert [json.loads(line)["message"] for line in lines] == ["predicted"]
