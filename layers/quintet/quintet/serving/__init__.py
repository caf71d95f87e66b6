"""Serving predictions on every path: the pipeline, the caches, the model cache, golden vectors."""

from quintet.serving.caches import PredictionCache
from quintet.serving.predict import ModelStats, Online, RequestContext, Steps
from quintet.serving.prediction import ModelRoute, Prediction

__all__ = [
    "ModelRoute",
    "ModelStats",
    "Online",
    "Prediction",
    "PredictionCache",
    "RequestContext",
    "Steps",
]
