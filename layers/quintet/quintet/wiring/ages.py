"""Builds what `watch_ages` needs, from its settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

from quintet.aws.captures import CaptureBucket
from quintet.captures.stored import served_between
from quintet.captures.telemetry import CapturesTelemetry
from quintet.contract import Contract
from quintet.errors import ModelFailure, NotFound
from quintet.monitoring.freshness import freshness_of
from quintet.settings import AgesSettings, read
from quintet.wiring import common

__all__ = ["watch"]

#: seconds of captures that are looked at, which is how often the function runs
SPAN = 3600


def watch(now: float) -> dict[str, list[str]]:
    """Measure the ages of stored features in the captures of the last hour before `now`, write
    them as metrics, and return the aging features by model.

    Raises:
        Transient: the registry or the captures could not be read.
    """
    settings = read(AgesSettings, os.environ)
    bucket = CaptureBucket(common.client("s3"), settings.captures_bucket)
    found = {}
    for contract in _contracts(settings):
        served = served_between(bucket, contract, now - SPAN, now)
        found[contract.name] = freshness_of(contract.stored, served)
    CapturesTelemetry(common.logger(), common.metrics()).aged(found)
    aging = {
        model: [one["feature"] for one in ages if one["aging"]] for model, ages in found.items()
    }
    return {model: names for model, names in aging.items() if names}


def _contracts(settings: AgesSettings) -> Iterator[Contract]:
    """The contracts of live versions that are captured, and whose stored features may age."""
    registry = common.registry(settings.registry_table)
    artifacts = common.artifacts(settings.registry_bucket)
    for model in registry.models():
        try:
            route = registry.route(model)
            contract = artifacts.contract(model, route.live, route.versions[route.live].seal)
        except (NotFound, ModelFailure) as error:  # deleted just now, or changed in the bucket
            common.logger().warning("no contract read", model=model, reason=str(error))
            continue
        if contract.capture is not None and any(f.max_age for f in contract.stored):
            yield contract
