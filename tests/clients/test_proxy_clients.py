"""Unmodified clients through `quintet proxy`, before the whole of template.yaml."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from botocore.exceptions import ClientError
from tests.kits.local_aws import ROOT, LocalAws, start_local_aws
from tests.kits.models import LOG, TEXT, publish
from tests.kits.running_proxy import proxy
from tritonclient.utils import InferenceServerException

from quintet.contract import Contract

LOGS = pytest.approx([1.3862944, 0.6931472], rel=1e-6)


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """The local AWS, with models published."""
    publish_to(local_aws, LOG, TEXT)
    return local_aws


def publish_to(aws: LocalAws, *contracts: Contract) -> None:
    for contract in contracts:
        publish(
            contract,
            aws.client("s3"),
            aws.client("dynamodb"),
            aws.outputs["RegistryBucketName"],
            aws.outputs["RegistryTableName"],
        )


@pytest.fixture(scope="module", params=[(), ("--batch-ms", "1000", "--batch-rows", "6")])
def address(aws: LocalAws, request: pytest.FixtureRequest) -> Iterator[str]:
    """A proxy that passes on, and one that combines."""
    with proxy(aws, *request.param) as found:
        yield found


def health(address: str) -> Any:
    with urllib.request.urlopen(f"{address}/proxy/health") as answer:
        return json.load(answer)


def log_input(raw: bool = True, client: Any = triton, value: float = 3) -> Any:
    tensor = client.InferInput("XY", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.array([[value, 1]], dtype=np.float32), binary_data=raw)
    return tensor


def test_triton_infers(address: str) -> None:
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    assert client.is_server_ready()
    assert client.get_model_metadata("log")["inputs"][0]["name"] == "XY"
    for packed in (None, "gzip"):
        result = client.infer(
            "log",
            [log_input()],
            request_id="mine",
            request_compression_algorithm=packed,
            response_compression_algorithm=packed,
        )
        assert result.as_numpy("logs").tolist() == [LOGS]
        assert result.get_response()["id"] == "mine"
    with pytest.raises(InferenceServerException, match=r"^\[404\] Request for unknown model"):
        client.infer("nope", [log_input()])


def test_tritons_concurrent_requests_each_get_their_own_rows_and_refusals(address: str) -> None:
    async def infer() -> list[Any]:
        place = address.removeprefix("http://")
        async with triton_aio.InferenceServerClient(place) as client:
            values = [*range(2, 8), -5, *range(8, 13)]
            return await asyncio.gather(
                *(
                    client.infer(
                        "log",
                        [log_input(value=value, client=triton_aio)],
                        request_id=str(value),
                    )
                    for value in values
                ),
                return_exceptions=True,
            )

    before = health(address)
    *found, refused = sorted(asyncio.run(infer()), key=lambda one: isinstance(one, Exception))
    assert str(refused).startswith("[424] ")
    for result in found:
        value = int(result.get_response()["id"])
        expected = [[np.log(value + 1), np.log(value - 1)]]
        np.testing.assert_allclose(result.as_numpy("logs"), expected, rtol=1e-6)
    after = health(address)
    assert after["requests"] - before["requests"] == 12
    calls = after["calls"] - before["calls"]
    # six rows are a call; the half with the refused row is halved until it is alone
    assert calls < 12 if after["batch_rows"] else calls == 12


def invoked(aws: LocalAws, url: str) -> Any:
    """The predictions that boto3 gets of a row."""
    runtime = aws.client_at("sagemaker-runtime", url)
    answer = runtime.invoke_endpoint(EndpointName="log", ContentType="text/csv", Body=b"3,1\n")
    assert answer["InvokedProductionVariant"] == "v1"
    return json.loads(answer["Body"].read())["predictions"]


def test_boto3_invokes_an_endpoint(aws: LocalAws, address: str) -> None:
    assert invoked(aws, address) == [{"logs": LOGS}]
    runtime = aws.client_at("sagemaker-runtime", address)
    with pytest.raises(ClientError) as refused:
        runtime.invoke_endpoint(EndpointName="log", ContentType="text/csv", Body=b"3,x\n")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    place = {"Bucket": aws.outputs["PayloadsBucketName"], "Key": "inputs/proxied.csv"}
    aws.client("s3").put_object(**place, Body=b"3,1")
    later = runtime.invoke_endpoint_async(
        EndpointName="log",
        ContentType="text/csv",
        InputLocation=f"s3://{place['Bucket']}/{place['Key']}",
    )
    assert later["ResponseMetadata"]["HTTPStatusCode"] == 202


def test_curl_sends_records_and_polls_a_job_where_its_location_says(address: str) -> None:
    def curl(path: str, *options: str) -> str:
        command = ["curl", "-sS", address + path, *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    body = json.dumps({"records": [{"text": "shirt"}]})
    answer = json.loads(curl("/models/text/predict", "-d", body))
    assert answer == {"model": "text", "version": 1, "predictions": [{"department": 1}]}
    accepted = curl("/models/text/predict", "-d", body, "-H", "Prefer: respond-async", "-i")
    location = re.search(r"(?mi)^location: (\S+)", accepted)
    assert location is not None
    assert json.loads(curl(location[1]))["model"] == "text"
    instances = json.dumps({"instances": [{"text": "shoes"}]})
    assert json.loads(curl("/v1/models/text:predict", "-d", instances)) == {"predictions": [2]}


def test_kserves_routes_are_listed(address: str) -> None:
    with urllib.request.urlopen(f"{address}/v1/models") as answer:
        assert {"log", "text"} <= set(json.load(answer)["models"])


def test_an_api_that_wants_signatures_gets_them(tmp_path: Path) -> None:
    aws = start_local_aws(tmp_path / "iam", parameters={"ApiAuth": "iam"})
    try:
        publish_to(aws, LOG)
        body = json.dumps({"records": [{"x": 3, "y": 1}]}).encode()
        path, kind = "/models/log/predict", {"Content-Type": "application/json"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(aws.api_url + path, body, kind))
        assert refused.value.code == 403
        with pytest.raises(ClientError):
            invoked(aws, aws.api_url)  # boto3 signs for sagemaker
        with proxy(aws) as address:
            asked = urllib.request.Request(address + path, body, kind)
            with urllib.request.urlopen(asked) as answer:
                assert json.load(answer)["predictions"] == [{"logs": LOGS}]
            assert invoked(aws, address) == [{"logs": LOGS}]
    finally:
        aws.stop()


PAGE = (ROOT / "docs/proxy.md").read_text(encoding="utf-8")


def test_the_page_says_how(aws: LocalAws, tmp_path: Path) -> None:
    (tmp_path / ".quintet").symlink_to(aws.state)
    (tmp_path / "models").symlink_to(ROOT / "models")
    start, ask, combine = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    assert start.splitlines()[0] == "quintet up --detach"
    assert start.splitlines()[2].startswith("quintet proxy &")
    assert combine == "quintet proxy --stage prod --batch-ms 5 --batch-rows 64\n"
    quintet = str(Path(sys.executable).with_name("quintet"))
    subprocess.run([quintet, *start.splitlines()[1].split()[1:]], cwd=tmp_path, check=True)
    with proxy(aws, *combine.split()[4:]) as address:
        here = address.removeprefix("http://")
        asked = ask.replace("127.0.0.1:4568", here)
        answer = subprocess.run(["bash", "-c", asked], capture_output=True, check=True).stdout
        assert json.loads(answer)["model"] == "tickets"
        (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        ran = subprocess.run(
            [sys.executable, "-c", code.replace("127.0.0.1:4568", here)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "'model': 'tickets'" in ran.stdout
