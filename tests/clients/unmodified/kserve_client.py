"""What kserve's inference client gets from an API: python kserve_client.py URL"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def log_input(raw: bool) -> InferInput:
    tensor = InferInput(name="XY", shape=[1, 2], datatype="FP32")
    tensor.set_data_from_numpy(np.array([[3, 1]], np.float32), binary_data=raw)
    return tensor


async def version_2(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    found: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, "log"),
    }
    for raw_in in (False, True):
        for raw_out in (False, True):
            request = InferRequest(
                model_name="log",
                infer_inputs=[log_input(raw_in)],
                request_id=None,
                request_outputs=[RequestedOutput("logs", {"binary_data": raw_out})],
            )
            answer = await client.infer(url, request, model_name="log")
            output = answer.get_output_by_name("logs").as_numpy()
            form = f"{'raw' if raw_in else 'json'} in, {'raw' if raw_out else 'json'} out"
            found[form] = [str(output.dtype), output.tolist()]
    try:
        await client.infer(url, InferRequest(model_name="nope", infer_inputs=[]), model_name="nope")
    except httpx.HTTPStatusError as error:
        found["unknown"] = [error.response.status_code, str(error)]
    return found


async def version_1(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
    instances = {"instances": [[3, 1], [5, 2]]}
    return {
        "v1 ready": await client.is_model_ready(url, "log"),
        "v1": await client.infer(url, instances, model_name="log"),
    }


async def both(url: str) -> dict[str, Any]:
    return {**await version_2(url), **await version_1(url)}


print(json.dumps(asyncio.run(both(sys.argv[1]))))
