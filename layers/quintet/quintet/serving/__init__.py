"""Online scoring: a batch of a request in, its prediction out; the caches; what was observed."""

from quintet.serving.caches import FeatureCache, PredictionCache
from quintet.serving.context import Call, Tally
from quintet.serving.groups import predict_together
from quintet.serving.predict import Online, Prediction

__all__ = [
    "Call",
    "FeatureCache",
    "Online",
    "Prediction",
    "PredictionCache",
    "Tally",
    "predict_together",
]
