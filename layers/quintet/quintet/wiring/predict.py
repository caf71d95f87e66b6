"""Builds what `predict` needs, from its settings."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quintet.protocols import registry
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.api.openapi import OpenApi
    from quintet.aws.client import AwsClient
    from quintet.recommend.recommender import Recommender
    from quintet.serving import Online
    from quintet.serving.breaker import CircuitBreaker
    from quintet.settings import PredictSettings

__all__ = ["EARLY_GOLDEN_ROWS", "online", "openapi", "recommender", "warm_predict"]

#: golden rows that are checked before the first answer of an environment that a caller waits for;
#: the others are checked before the second
EARLY_GOLDEN_ROWS = 2


@cache
def _settings() -> PredictSettings:
    from quintet.settings import PredictSettings, read

    return read(PredictSettings, os.environ)


@cache
def online() -> Online:
    """The service that answers prediction requests."""
    from quintet.aws.client import AwsClient
    from quintet.aws.features import FeatureTable
    from quintet.aws.registry import Registry
    from quintet.features import FeatureCache
    from quintet.serving import Online, PredictionCache
    from quintet.serving.breaker import GuardedFeatures
    from quintet.serving.crashes import CrashLog
    from quintet.serving.model_cache import ModelCache

    settings, telemetry = _settings(), common.request_telemetry()
    # known routes are used while the registry does not answer, so its timeouts are short
    routes = AwsClient("dynamodb", connect_seconds=0.5, read_seconds=1.0, attempts=2)
    registry = Registry(routes, settings.registry_table)
    crashes = CrashLog(time.time, common.SCRATCH / "quintet-crashes")
    for crash in crashes.found:
        telemetry.crashed(crash)
    models = ModelCache(
        registry,
        common.artifacts(
            settings.registry_bucket,
            early=EARLY_GOLDEN_ROWS if common.init_is_waited_for(os.environ) else None,
        ),
        memory=settings.model_memory_mb * 1_000_000,
        clock=time.monotonic,
        crashes=crashes,
        taken_out=telemetry.taken_out,
        outdated=telemetry.outdated,
    )
    client, breaker = _feature_store()
    guarded = GuardedFeatures(
        FeatureTable(client, settings.features_table, clock=time.time), breaker
    )
    return Online(
        models,
        registry.models,
        FeatureCache(guarded, seconds=settings.feature_cache_seconds, clock=time.monotonic),
        PredictionCache(most=settings.prediction_cache_entries, clock=time.monotonic),
        time.time,
        begin=telemetry.begin,
    )


@cache
def _feature_store() -> tuple[AwsClient, CircuitBreaker]:
    """The client of the feature store, and its circuit breaker."""
    from quintet.aws.client import AwsClient
    from quintet.serving.breaker import CircuitBreaker

    settings, telemetry = _settings(), common.request_telemetry()
    # one attempt and short timeouts: an unhealthy store must not use up the SLO
    client = AwsClient(
        "dynamodb",
        connect_seconds=settings.feature_connect_seconds,
        read_seconds=settings.feature_read_seconds,
        attempts=1,
    )
    breaker = CircuitBreaker(
        failures=settings.breaker_failures,
        recovery_seconds=settings.breaker_recovery_seconds,
        clock=time.monotonic,
        on_change=lambda state: telemetry.circuit_changed("feature-store", state),
    )
    return client, breaker


@cache
def recommender() -> Recommender:
    """What answers requests for recommendations."""
    from quintet.aws.recommendations import RecommendationTables
    from quintet.recommend.reads import ShownRuns
    from quintet.recommend.recommender import Recommender

    settings, (client, breaker) = _settings(), _feature_store()
    reads = RecommendationTables(
        client, settings.candidates_table, settings.features_table, breaker, clock=time.time
    )
    shown = ShownRuns(reads, time.monotonic)
    return Recommender(online(), reads, shown, common.contracts(settings))


@cache
def openapi() -> OpenApi:
    """What describes the API. It reads contracts and golden rows, and loads no model."""
    from quintet.api.openapi import OpenApi
    from quintet.contract import from_dict
    from quintet.openapi.models import Described
    from quintet.serving.golden import golden_from_dict

    service, artifacts = online(), common.artifacts(_settings().registry_bucket)

    def read(name: str) -> Described:
        route = service.models.route(name)
        if route.live not in route.versions:
            raise route.unknown(route.live)
        manifest = artifacts.manifest(name, route.live, route.versions[route.live].seal)
        return Described(from_dict(manifest.contract), golden_from_dict(manifest.golden))

    return OpenApi(service.index, read, common.auth())


def warm_predict() -> None:
    """Preload models in Lambda's init; loading runs their golden vectors.

    If a model does not load, the first request for it tries again and gets the error.
    """
    if not common.init_is_waited_for(os.environ):
        for form in registry.NAMES:  # the first request would wait for them
            registry.protocol(form)
    service, output = online(), common.request_telemetry().output
    for name in _settings().preload:
        try:
            if service.models.get(name).contract.recommend:
                recommender()  # imports what its requests need
        except Exception as error:
            output.warning("not preloaded", model=name, error=type(error).__name__)
