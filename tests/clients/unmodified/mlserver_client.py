"""What MLServer's types, codecs and `mlserver infer` get from an API: python ... URL"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import urllib3
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RequestInput,
)

URL = sys.argv[1]


def ask(method: str, path: str, body: Any = None) -> Any:
    answer = urllib3.request(method, f"{URL}{path}", json=body)
    assert answer.status == 200, answer.data
    return answer.json()


def infer(model: str, request: InferenceRequest) -> InferenceResponse:
    """The whole of the model is sent, with null for what it lacks."""
    answer = ask("POST", f"/v2/models/{model}/infer", request.model_dump())
    return InferenceResponse.model_validate(answer)


def data_frame() -> Any:
    frame = pd.DataFrame({"x": [3.0, 5.0], "y": [1.0, 2.0]}).astype("float32")
    return NumpyCodec.decode_output(infer("log", PandasCodec.encode_request(frame)).outputs[0])


def array() -> Any:
    request = NumpyRequestCodec.encode_request(np.array([[3, 1]], np.float32))
    request.inputs[0].name = "XY"
    return NumpyRequestCodec.decode_response(infer("log", request))


def texts() -> Any:
    tensor = StringCodec.encode_input("text", ["shirt", "shoes"], use_bytes=False)
    return NumpyRequestCodec.decode_response(infer("text", InferenceRequest(inputs=[tensor])))


def batch() -> list[Any]:
    """`mlserver infer`: a file of requests to a file of answers."""
    tensor = RequestInput(name="XY", shape=[1, 2], datatype="FP32", data=[3, 1])
    line = InferenceRequest(id="line", inputs=[tensor]).model_dump_json()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.txt", Path(folder) / "out.txt"
        source.write_text(f"{line}\n{line}\n")
        command = [str(Path(sys.executable).with_name("mlserver")), "infer", "-m", "log"]
        command += ["-u", URL.removeprefix("http://"), "-i", str(source), "-o", str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        answers = [json.loads(text) for text in target.read_text().splitlines()]
    return [answer["outputs"][0]["data"] for answer in answers]


index = ask("POST", "/v2/repository/index", RepositoryIndexRequest().model_dump())
found = {
    "server": MetadataServerResponse.model_validate(ask("GET", "/v2")).name,
    "model": MetadataModelResponse.model_validate(ask("GET", "/v2/models/log")).name,
    "index": [one.state for one in RepositoryIndexResponse.model_validate(index).root][:1],
    "data frame": data_frame().tolist(),
    "array": array().tolist(),
    "texts": texts().tolist(),
    "mlserver infer": batch(),
}
print(json.dumps(found))
