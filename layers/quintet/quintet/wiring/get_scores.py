"""Builds what `get_scores` needs, from its settings."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quintet.settings import GetScoresSettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.api.scores import ScoresApi

__all__ = ["api"]


@cache
def api() -> ScoresApi:
    """The resource /scores. Contracts stay cached between invocations."""
    from quintet.api.scores import ScoresApi
    from quintet.aws.latest import LatestTable

    settings = read(GetScoresSettings, os.environ)
    models = common.contracts(settings)
    return ScoresApi(
        contract=lambda name: models.get(name).contract,
        scores=LatestTable(common.client("dynamodb"), settings.scores_table, kept_seconds=0),
        clock=time.time,
    )
