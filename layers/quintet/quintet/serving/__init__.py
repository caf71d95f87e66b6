"""Serving predictions on every path: the pipeline, the caches, the model cache, golden vectors."""

from quintet.serving.caches import PredictionCache
from quintet.serving.context import ModelStats, RequestContext
from quintet.serving.groups import predict_groups
from quintet.serving.online import Online
from quintet.serving.predict import ModelRoute, Prediction

__all__ = [
    "ModelRoute",
    "ModelStats",
    "Online",
    "Prediction",
    "PredictionCache",
    "RequestContext",
    "predict_groups",
]
