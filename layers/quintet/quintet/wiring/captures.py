"""Builds what `capture` and `compact` need, from their settings."""

from __future__ import annotations

import os
from functools import cache

from quintet.aws.captures import CaptureBucket
from quintet.aws.rollout_feed import RolloutFeedQueue
from quintet.captures.telemetry import CapturesTelemetry
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.settings import CaptureSettings, read
from quintet.wiring import common

__all__ = ["bucket", "feed", "telemetry"]


@cache
def _settings() -> CaptureSettings:
    return read(CaptureSettings, os.environ)


@cache
def bucket() -> CaptureBucket:
    """The captures' bucket."""
    return CaptureBucket(common.client("s3"), _settings().captures_bucket)


@cache
def feed() -> RolloutFeedQueue:
    """What rollouts hear of captures."""
    evidence = EvidenceObjects(bucket(), bucket())
    return RolloutFeedQueue(common.client("sqs"), _settings().compare_queue_url, evidence)


@cache
def telemetry() -> CapturesTelemetry:
    """The log lines and metrics."""
    return CapturesTelemetry(common.logger(), common.metrics())
