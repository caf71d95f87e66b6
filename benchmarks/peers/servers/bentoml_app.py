"""BentoML: bentoml serve bentoml_app:Peer. The graph is $GRAPH."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Peer:
    """The graph behind BentoML."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["GRAPH"], options)

    @bentoml.api(route="/v2/models/trees/infer")
    def infer(self, inputs: list[dict]) -> dict:
        """Run the graph."""
        rows = np.array(inputs[0]["data"], dtype=np.float32).reshape(inputs[0]["shape"])
        (scores,) = self.session.run(["probabilities"], {"x": rows})
        head = {"name": "probabilities", "shape": list(scores.shape), "datatype": "FP32"}
        return {"outputs": [{**head, "data": scores.ravel().tolist()}]}
