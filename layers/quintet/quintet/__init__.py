"""Quintet: one ONNX model served online, asynchronously, as a stream, in batch and hybrid."""

__version__ = "0.1.0"
