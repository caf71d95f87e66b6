"""predict's handler in this process, with everything that it reads in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.contract import Contract
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import OIP, RECORDS
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

__all__ = ["answering"]


class _Loader:
    def __init__(self, models: Mapping[str, tuple[Contract, bytes]]) -> None:
        self._models = models

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        return OnnxModel(*self._models[model])


def answering(
    models: Mapping[str, tuple[Contract, bytes]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What answers API Gateway's events for these models, by name: a contract and a graph each."""
    version = Version(1, "digest", "seal", 1000, "now")
    routes = MemoryRoutes([Route(name, 1, 1, {1: version}) for name in models])
    cache = ModelCache(routes, _Loader(models), memory=10**10, clock=time.time)
    predictions = PredictionCache(clock=time.time)
    online = Online(cache, dict, MemoryFeatures(), predictions, time.time)
    telemetry = RequestTelemetry(StdoutTelemetry("bench", {}))
    table = gateway.Routes(
        {
            ("POST", resource): (partial(protocol.answer, online), protocol.failure)
            for resource, protocol in (
                ("/models/{model}/predict", RECORDS),
                ("/v2/{proxy+}", OIP),
            )
        }
    )
    return lambda asked: gateway.respond(asked, table, lambda: telemetry, lambda: "none")
