"""What looks latest scores up, from the settings."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quintet.settings import GetScoresSettings, read

if TYPE_CHECKING:
    from quintet.api.scores import ScoresApi
    from quintet.telemetry import Telemetry

__all__ = ["api", "telemetry"]


@cache
def _settings() -> GetScoresSettings:
    return read(GetScoresSettings, os.environ)


@cache
def telemetry() -> Telemetry:
    """The logs and metrics of `get_scores`."""
    from quintet.telemetry import Telemetry

    return Telemetry(_settings().stage)


@cache
def api() -> ScoresApi:
    """What answers with latest scores. Contracts stay known between invocations."""
    from quintet.api.scores import ScoresApi
    from quintet.aws.artifacts import Artifacts
    from quintet.aws.client import AwsClient
    from quintet.aws.contracts import Contracts
    from quintet.aws.latest import LatestTable
    from quintet.aws.registry import Registry
    from quintet.serving.model_cache import ModelCache

    settings, dynamodb = _settings(), AwsClient("dynamodb")
    models = ModelCache(
        Registry(dynamodb, settings.registry_table),
        Contracts(Artifacts(AwsClient("s3"), settings.registry_bucket)),
        memory=2**62,
        clock=time.monotonic,
    )
    return ScoresApi(
        contract=lambda name: models.get(name).contract,
        scores=LatestTable(dynamodb, settings.scores_table, kept_seconds=0),
        clock=time.time,
    )
