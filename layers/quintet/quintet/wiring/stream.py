"""Builds what `score_stream` needs, from its settings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.settings import StreamSettings
    from quintet.streaming.alerts import AlertNotifier
    from quintet.streaming.model_rows import Decoded, ShardBatch
    from quintet.streaming.scorer import Scorer
    from quintet.streaming.telemetry import StreamTelemetry
    from quintet.telemetry.traces import Span

__all__ = ["scorer", "telemetry", "traced"]

DAY = 86_400
#: threads that write alerts and latest scores, which mostly wait for AWS
THREADS = 16


@cache
def _settings() -> StreamSettings:
    from quintet.settings import StreamSettings, read

    return read(StreamSettings, os.environ)


@cache
def telemetry() -> StreamTelemetry:
    """The logs and metrics."""
    from quintet.streaming.telemetry import StreamTelemetry

    return StreamTelemetry(common.logger(), common.metrics())


@contextmanager
def traced(batch: ShardBatch) -> Iterator[Span | None]:
    """Trace the scoring of a shard's records. `quintet trace` finds a record by the numbers."""
    with common.traced() as span:
        if span is not None and batch.sequences:
            span.about |= {"shard": batch.shard, "records": len(batch.sequences)}
            span.about |= {"first": batch.sequences[0], "last": batch.sequences[-1]}
        yield span


@cache
def scorer() -> Scorer:
    """The scorer. The last used models stay loaded between invocations."""
    from quintet.aws.captures import CaptureBucket
    from quintet.aws.checkpoints import CheckpointTable
    from quintet.aws.latest import LatestTable
    from quintet.aws.rollout_feed import RolloutFeedQueue
    from quintet.aws.scored_ids import ScoredIdTable
    from quintet.aws.stream_bucket import StreamBucket
    from quintet.aws.windows import WindowTable
    from quintet.rollouts.evidence_store import EvidenceObjects
    from quintet.streaming.decoding import decode
    from quintet.streaming.scorer import Scorer

    settings = _settings()
    dynamodb, s3 = common.client("dynamodb"), common.client("s3")
    models = common.models(settings)
    captures = CaptureBucket(s3, settings.captures_bucket)
    evidence = EvidenceObjects(captures, captures)
    feed = RolloutFeedQueue(common.client("sqs"), settings.compare_queue_url, evidence)

    def read(shard_batch: ShardBatch) -> Decoded:
        return decode(shard_batch, models.get, settings.stream_model)

    return Scorer(
        decode=read,
        models=models,
        features=common.features(settings.features_table),
        sink=StreamBucket(s3, settings.stream_bucket),
        checkpoints=CheckpointTable(dynamodb, settings.stream_table, clock=time.time),
        ids=ScoredIdTable(dynamodb, settings.stream_table, time.time),
        latest=LatestTable(
            dynamodb, settings.scores_table, kept_seconds=settings.scores_retention_days * DAY
        ),
        alerts=_alerts(settings),
        windows=WindowTable(dynamodb, settings.stream_table, settings.features_table),
        captures=captures,
        clock=time.time,
        feed=feed,
        seal=common.seal,
    )


def _alerts(settings: StreamSettings) -> AlertNotifier:
    from quintet.aws.alerts import AlertTable, AlertTopic, AlertWebhooks
    from quintet.streaming.alerts import AlertChannel, AlertNotifier

    channels: list[AlertChannel] = [AlertTopic(common.client("sns"), settings.alerts_topic_arn)]
    if settings.alert_endpoint:
        queue = common.client("sqs"), settings.notify_queue_url
        channels.append(AlertWebhooks(*queue, settings.alert_endpoint))
    state = AlertTable(common.client("dynamodb"), settings.stream_table)
    return AlertNotifier(state, channels, threads=THREADS)
