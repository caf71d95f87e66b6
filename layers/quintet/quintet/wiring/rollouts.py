"""Builds the judge of rollouts, for `rollout` and `compare`, and handles what stops them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Protocol

from quintet.aws.captures import CaptureBucket
from quintet.aws.queues import DeadLetterQueue, QueueVisibility
from quintet.aws.rollouts import Rollouts
from quintet.aws.topics import publish
from quintet.contract import RolloutRule
from quintet.errors import BadInput, Transient
from quintet.jobs.messages import Delivery, backoff
from quintet.rollouts.evidence_store import EvidenceObjects, EvidenceStore
from quintet.rollouts.judge import Judge, timeout_of
from quintet.rollouts.judge_telemetry import JudgeTelemetry
from quintet.rollouts.measures import rule_of
from quintet.rollouts.stops import stop_of
from quintet.settings import RolloutSettings, read
from quintet.wiring import common

__all__ = ["JudgeSettings", "judge", "judge_of", "stop"]


class JudgeSettings(common.RegistrySettings, Protocol):
    """Settings of functions that judge rollouts; without a topic, they send no notices."""

    @property
    def stage(self) -> str: ...

    @property
    def answer_timeouts(self) -> tuple[int, ...]: ...

    @property
    def alarm_topic_arn(self) -> str: ...


@cache
def _settings() -> RolloutSettings:
    return read(RolloutSettings, os.environ)


def stop(deliveries: Sequence[Delivery], now: float) -> list[Delivery]:
    """Roll back what messages of the queue stop; the messages to retry."""
    failed = [one for one in deliveries if not _stopped(one, now)]
    if failed:
        queue = QueueVisibility(common.client("sqs"), _settings().rollout_queue_url)
        queue.delay(backoff(failed))
    return failed


def _stopped(delivery: Delivery, now: float) -> bool:
    told = _telemetry(_settings())
    try:
        try:
            if (found := stop_of(delivery.body)) is not None:
                told.stopped(found, judge().stop(found, now))
        except BadInput as error:  # a retry would fail, too
            letters = _settings().rollout_dead_letters_url
            DeadLetterQueue(common.client("sqs"), letters).put(delivery.body)
            told.buried(delivery.message, str(error))
    except Transient as error:
        told.left(delivery.message, str(error))
        return False
    return True


@cache
def judge() -> Judge:
    """The judge of `rollout`."""
    bucket = CaptureBucket(common.client("s3"), _settings().captures_bucket)
    return judge_of(_settings(), EvidenceObjects(bucket, bucket))


def judge_of(settings: JudgeSettings, evidence: EvidenceStore) -> Judge:
    """A judge of the stage's rollouts; it keeps contracts between invocations."""
    told = _telemetry(settings)
    contracts = common.contracts(settings)

    def rule(model: str, version: int) -> RolloutRule:
        return rule_of(contracts.get(model, version).contract)

    return Judge(
        store=Rollouts(common.client("dynamodb"), settings.registry_table),
        evidence=evidence,
        rule_of=rule,
        timeout=timeout_of(settings.answer_timeouts),
        told=told.changed,
        notify=told.notify,
        unjudged=told.unjudged,
    )


def _telemetry(settings: JudgeSettings) -> JudgeTelemetry:
    return JudgeTelemetry(common.logger(), common.metrics(), settings.stage, _publisher(settings))


def _publisher(settings: JudgeSettings) -> Callable[[str, str], None] | None:
    topic = settings.alarm_topic_arn
    return partial(_publish, topic) if topic else None


def _publish(topic: str, subject: str, text: str) -> None:
    answer = publish(common.client("sns"), topic, text, subject=subject)
    if answer.status != 200:
        raise Transient(f"the topic answered {answer.status}")
