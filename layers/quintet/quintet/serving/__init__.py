"""Online scoring: a batch of a request in, its prediction out; the caches; what was observed."""

from quintet.serving.caches import FeatureCache, PredictionCache
from quintet.serving.context import ModelStats, RequestContext
from quintet.serving.groups import predict_together
from quintet.serving.predict import Online, Prediction

__all__ = [
    "FeatureCache",
    "ModelStats",
    "Online",
    "Prediction",
    "PredictionCache",
    "RequestContext",
    "predict_together",
]
