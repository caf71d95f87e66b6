"""Online scoring: a batch of a request in, its prediction out; the caches; what was observed."""

from quintet.online.caches import FeatureCache, PredictionCache
from quintet.online.call import Call, Tally
from quintet.online.groups import predict_together
from quintet.online.serving import Online, Prediction

__all__ = [
    "Call",
    "FeatureCache",
    "Online",
    "Prediction",
    "PredictionCache",
    "Tally",
    "predict_together",
]
