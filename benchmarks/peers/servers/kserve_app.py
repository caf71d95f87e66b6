"""KServe's server: python kserve_app.py PORT. The graph is $GRAPH."""

import os
import sys

import kserve
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse


class Peer(kserve.Model):
    """The graph behind KServe."""

    def __init__(self) -> None:
        super().__init__("trees")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["GRAPH"], options)
        self.ready = True

    def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        """Run the graph."""
        rows = payload.inputs[0].as_numpy()
        (scores,) = self.session.run(["probabilities"], {"x": rows})
        output = InferOutput("probabilities", list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, binary_data=False)
        return InferResponse(payload.id or "", "trees", [output])


if __name__ == "__main__":
    port = int(sys.argv[1])
    kserve.ModelServer(http_port=port, enable_grpc=False, workers=1).start([Peer()])
