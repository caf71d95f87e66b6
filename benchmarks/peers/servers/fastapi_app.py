"""FastAPI: uvicorn fastapi_app:app. The graph is $GRAPH."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["GRAPH"], options)
app = FastAPI()


class Tensor(BaseModel):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(BaseModel):
    """A request."""

    inputs: list[Tensor]


@app.post("/v2/models/trees/infer")
async def infer(request: Request) -> dict:
    """Run the graph."""
    tensor = request.inputs[0]
    rows = np.array(tensor.data, dtype=np.float32).reshape(tensor.shape)
    (scores,) = session.run(["probabilities"], {"x": rows})
    output = {"name": "probabilities", "shape": scores.shape, "datatype": "FP32"}
    return {"model_name": "trees", "outputs": [{**output, "data": scores.ravel().tolist()}]}
