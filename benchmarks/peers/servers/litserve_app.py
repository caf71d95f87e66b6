"""LitServe: python litserve_app.py PORT. The graph is $GRAPH."""

import os
import sys

import litserve
import numpy as np
import onnxruntime


class Peer(litserve.LitAPI):
    """The graph behind LitServe."""

    def setup(self, device: str) -> None:
        """Load the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["GRAPH"], options)

    def decode_request(self, request: dict) -> np.ndarray:
        """Read the tensor."""
        tensor = request["inputs"][0]
        return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run the graph."""
        return self.session.run(["probabilities"], {"x": x})[0]

    def encode_response(self, output: np.ndarray) -> dict:
        """Write the tensor."""
        head = {"name": "probabilities", "shape": list(output.shape), "datatype": "FP32"}
        return {"outputs": [{**head, "data": output.ravel().tolist()}]}


if __name__ == "__main__":
    server = litserve.LitServer(Peer(api_path="/v2/models/trees/infer"), accelerator="cpu")
    port = int(sys.argv[1])
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
