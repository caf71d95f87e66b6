"""Serving predictions on every path: the pipeline, the caches, the model cache, golden vectors."""

from quintet.serving.caches import PredictionCache
from quintet.serving.groups import predict_groups
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
    "predict_groups",
]
