"""Builds what `compare` needs, from its settings."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import orjson

from quintet.aws.captures import CaptureBucket
from quintet.aws.queues import DeadLetterQueue, QueueVisibility
from quintet.aws.rollouts import Rollouts
from quintet.contract import Contract
from quintet.errors import Transient
from quintet.jobs.messages import Delivery, backoff
from quintet.rollouts.comparer import Comparer, Open, Paced
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.telemetry import ComparisonTelemetry
from quintet.settings import CompareSettings, read
from quintet.wiring import common
from quintet.wiring.rollouts import judge_of

__all__ = ["compare"]

#: a message that was received so often is a dead letter: for the first hour it waits and is retried
MAX_RECEIVES = 20
#: seconds beyond the function's time-out after which a retried message that ended it comes again
MARGIN_SECONDS = 5


def compare(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Compare the captures that messages name; the messages to retry.

    Those that came before are compared alone, since one of them may have ended the process.
    """
    keys = {one.message: _key(one.body) for one in deliveries}
    poison = [one for one in deliveries if one.receives > MAX_RECEIVES or not keys[one.message]]
    buried = {one.message for one in poison if _buried(one)}
    left = [one for one in deliveries if one not in poison]
    again = [one for one in left if one.receives > 1]
    soon = _settings().compare_timeout_seconds + MARGIN_SECONDS
    _visibility().delay({one.receipt: soon for one in again})
    first = [keys[one.message] for one in left if one.receives == 1]
    done = _comparer().compare([first, *([keys[one.message]] for one in again)])
    _telemetry().compared(done)
    failed = [one for one in left if keys[one.message] in done.failed]
    _visibility().delay(backoff(failed))
    return failed + [one for one in poison if one.message not in buried]


def _key(body: str) -> str:
    """The key in a message; empty if it has none."""
    with suppress(ValueError, KeyError, TypeError):
        return str(orjson.loads(body)["key"])
    return ""


def _buried(delivery: Delivery) -> bool:
    """Put a message among the dead letters; whether it is there."""
    letters = DeadLetterQueue(common.client("sqs"), _settings().compare_dead_letters_url)
    try:
        letters.put(delivery.body)
    except Transient as error:
        _telemetry().left(delivery.message, str(error))
        return False
    _telemetry().buried(delivery.message, delivery.receives)
    return True


@cache
def _settings() -> CompareSettings:
    return read(CompareSettings, os.environ)


@cache
def _telemetry() -> ComparisonTelemetry:
    return ComparisonTelemetry(common.logger(), common.metrics())


@cache
def _visibility() -> QueueVisibility:
    return QueueVisibility(common.client("sqs"), _settings().compare_queue_url)


@cache
def _comparer() -> Comparer:
    """The comparer. The last used models stay loaded between invocations."""
    settings = _settings()
    bucket = CaptureBucket(common.client("s3"), settings.captures_bucket)
    evidence = EvidenceObjects(bucket, bucket)
    rollouts = Rollouts(common.client("dynamodb"), settings.registry_table)
    contracts = common.contracts(settings)

    judge = judge_of(settings, evidence)

    def judge_now(model: str, rollout: str) -> None:
        judge.judge_now(model, rollout, time.time())

    def contract_of(model: str, version: int) -> Contract:
        return contracts.get(model, version).contract

    return Comparer(
        objects=bucket,
        sink=bucket,
        evidence=evidence,
        rollout_of=lambda model: rollouts.read(model).rollout,
        contract_of=contract_of,
        models=common.models(settings),
        judge=Paced(judge_now, time.monotonic),
        open=_open(settings),
    )


def _open(settings: CompareSettings) -> Open | None:
    """What opens sealed features; None without the stage's key."""
    if not settings.capture_key:
        return None
    # their layer is there only with the key
    from quintet.aws.keys import CaptureKey
    from quintet.captures.opening import Opener

    key = CaptureKey(common.client("kms"), settings.capture_key, settings.stage)
    return Opener(key, time.monotonic).open
