"""Puts the large initialisers of a graph in a file beside it, which loading maps. Pure."""

from __future__ import annotations

import onnx

from quintet.manifest import MAPPED, WEIGHTS

__all__ = ["LARGE", "split"]

#: bytes of initialisers from which a model is split; below, a session takes some milliseconds
LARGE = 8_000_000
#: bytes of one initialiser that is moved; smaller ones may be shapes, which onnxruntime reads
MOVED = 65_536
#: each starts on a page, as onnxruntime maps them
PAGE = 4096


def split(graph: bytes) -> dict[str, bytes]:
    """Return the graph without its large initialisers, and these, by the files to store.

    Nothing is returned for a graph that has less than `LARGE` bytes of them. The same graph gives
    the same files.
    """
    if len(graph) < LARGE:
        return {}
    model = onnx.load_model_from_string(graph)
    moved = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= MOVED]
    if sum(len(tensor.raw_data) for tensor in moved) < LARGE:
        return {}
    weights = bytearray()
    for tensor in moved:
        weights += bytes(-len(weights) % PAGE)
        place = {"location": WEIGHTS, "offset": len(weights), "length": len(tensor.raw_data)}
        weights += tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
    return {MAPPED: model.SerializeToString(deterministic=True), WEIGHTS: bytes(weights)}
