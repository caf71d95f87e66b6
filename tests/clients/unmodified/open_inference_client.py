"""What the Open Inference Protocol's own client gets from an API: python ... URL"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.types import (
    InferenceRequest,
    InferenceResponse,
    RequestInput,
    RequestOutput,
)


def request(**asked: Any) -> InferenceRequest:
    tensor = RequestInput(name="XY", shape=[1, 2], datatype="FP32", data=[3, 1])
    return InferenceRequest(inputs=[tensor], **asked)


def seen(answer: InferenceResponse) -> list[Any]:
    return [
        answer.model_name,
        answer.model_version,
        answer.id,
        answer.outputs[0].data.dict()["__root__"],
    ]


def sync(url: str) -> dict[str, Any]:
    client = OpenInferenceClient(base_url=url)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("log")
    client.check_model_version_readiness("log", "1")
    asked = request(
        id="mine",
        parameters={"content_type": "np"},
        outputs=[RequestOutput(name="logs", parameters={})],
    )
    found = {
        "server": client.read_server_metadata().name,
        "model": client.read_model_metadata("log").inputs[0].shape,
        "version": client.read_model_version_metadata("log", "1").platform,
        "infer": seen(client.model_infer("log", request=request())),
        "infer whole": seen(client.model_version_infer("log", "1", request=asked)),
    }
    try:
        client.model_infer("nope", request=request())
    except ApiError as error:
        found["unknown"] = [error.status_code, error.body]
    try:
        client.model_infer("log", request=InferenceRequest(inputs=[]))
    except ApiError as error:
        found["bad"] = [error.status_code, error.body]
    return found


async def aio(url: str) -> list[Any]:
    client = AsyncOpenInferenceClient(base_url=url)
    await client.check_model_readiness("log")
    return seen(await client.model_infer("log", request=request()))


print(json.dumps({**sync(sys.argv[1]), "aio": asyncio.run(aio(sys.argv[1]))}))
