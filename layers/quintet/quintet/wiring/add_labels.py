"""Builds what `add_labels` needs, from its settings."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quintet.settings import LabelSettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.api.labels import LabelsApi

__all__ = ["api"]


@cache
def api() -> LabelsApi:
    """The resource /labels. Contracts stay cached between invocations."""
    from quintet.api.labels import LabelsApi
    from quintet.aws.captures import CaptureBucket

    settings = read(LabelSettings, os.environ)
    models = common.contracts(settings)
    return LabelsApi(
        contract=lambda name: models.get(name).contract,
        sink=CaptureBucket(common.client("s3"), settings.captures_bucket),
        clock=time.time,
    )
