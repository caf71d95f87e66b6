"""MLServer's runtime of the graph, which is $GRAPH."""

import os

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Peer(MLModel):
    """The graph behind MLServer."""

    async def load(self) -> bool:
        """Load the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["GRAPH"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the graph."""
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype("float32")
        (scores,) = self.session.run(["probabilities"], {"x": rows})
        outputs = [NumpyCodec.encode_output("probabilities", scores)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
