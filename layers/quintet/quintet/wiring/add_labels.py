"""Builds what `add_labels` needs, from its settings."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quintet.settings import LabelSettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.api.feedback import FeedbackApi
    from quintet.api.labels import LabelsApi
    from quintet.aws.captures import CaptureBucket
    from quintet.contract import Contract
    from quintet.serving.model_cache import ModelCache

__all__ = ["feedback", "labels"]


@cache
def labels() -> LabelsApi:
    """The resource /labels."""
    from quintet.api.labels import LabelsApi

    return LabelsApi(contract=_contract, sink=_bucket(), clock=time.time)


@cache
def feedback() -> FeedbackApi:
    """The resource /feedback."""
    from quintet.api.feedback import FeedbackApi

    return FeedbackApi(contract=_contract, sink=_bucket(), clock=time.time)


@cache
def _settings() -> LabelSettings:
    return read(LabelSettings, os.environ)


@cache
def _models() -> ModelCache:
    """The models' contracts, which stay cached between invocations."""
    return common.contracts(_settings())


def _contract(name: str) -> Contract:
    return _models().get(name).contract


@cache
def _bucket() -> CaptureBucket:
    from quintet.aws.captures import CaptureBucket

    return CaptureBucket(common.client("s3"), _settings().captures_bucket)
