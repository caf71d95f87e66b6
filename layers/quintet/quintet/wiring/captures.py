"""Builds what `capture` and `compact` need, from their settings."""

from __future__ import annotations

import os
from functools import cache

from quintet.aws.captures import CaptureBucket
from quintet.captures.telemetry import CapturesTelemetry
from quintet.settings import CaptureSettings, read
from quintet.wiring import common

__all__ = ["bucket", "telemetry"]


@cache
def bucket() -> CaptureBucket:
    """The captures' bucket."""
    return CaptureBucket(common.client("s3"), read(CaptureSettings, os.environ).captures_bucket)


@cache
def telemetry() -> CapturesTelemetry:
    """The log lines and metrics."""
    return CapturesTelemetry(common.logger(), common.metrics())
