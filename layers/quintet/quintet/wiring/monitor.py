"""Builds what `monitor` needs, from its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from quintet.aws.queues import StopQueue
from quintet.aws.request_counts import RequestCounts
from quintet.aws.topics import publish
from quintet.contract import Slo
from quintet.errors import ModelFailure, NotFound, Transient
from quintet.monitoring.budgets import Watched, notice, reasons
from quintet.monitoring.budgets import watch as watch_budgets
from quintet.rollouts.stops import Stop
from quintet.serving.model_cache import ModelCache
from quintet.settings import MonitorSettings, read
from quintet.wiring import common

__all__ = ["watch"]


@cache
def _settings() -> MonitorSettings:
    return read(MonitorSettings, os.environ)


@cache
def _contracts() -> ModelCache:
    return common.contracts(_settings())


def watch(now: float) -> dict[str, list[str]]:
    """Compute the burns at `now`, write them as metrics, and tell of what began to burn.

    Rollouts of the models that began to burn are stopped, and a notice is sent. Returns the models
    that burn, by pair of windows.

    Raises:
        Transient: the registry, CloudWatch, the queue or the topic did not answer.
    """
    settings, slos = _settings(), _slos()
    if not slos:
        return {}
    source = RequestCounts(common.client("monitoring"), settings.stage)
    watched = watch_budgets(slos, source, now)
    metrics, logger = common.metrics(), common.logger()
    for model, burns in watched.burns.items():
        for window, one in burns.items():
            metrics.write({"model": model, "window": window}, {"burn_ratio": one.rate})
    for pair, models in watched.burning.items():
        metrics.write({"pair": pair.name}, {"burning_models_count": len(models)})
        logger.warning("error budgets burn", pair=pair.name, models=models)
    _stop_rollouts(watched, slos, now)
    if watched.newly and settings.alarm_topic_arn:
        subject, text = notice(watched, settings.stage, slos)
        answer = publish(common.client("sns"), settings.alarm_topic_arn, text, subject=subject)
        if answer.status != 200:
            raise Transient(f"the notice was not published (status {answer.status})")
    return {pair.name: list(models) for pair, models in watched.burning.items()}


def _stop_rollouts(watched: Watched, slos: Mapping[str, Slo], now: float) -> None:
    """Stop the rollouts of the models that began to burn, each once, for its first reason."""
    queue = StopQueue(common.client("sqs"), _settings().rollout_queue_url)
    registry = common.registry(_settings().registry_table)
    for model, reason in dict(reversed(list(reasons(watched, slos)))).items():
        if registry.route(model).rollout:
            why = f"the error budget burns: {reason}"
            queue.send(Stop(at=now, by="monitor", reason=why, model=model))


def _slos() -> dict[str, Slo]:
    """The objectives of the models with a live version that can be read."""
    found = {}
    for model in common.registry(_settings().registry_table).models():
        try:
            found[model] = _contracts().get(model).contract.slo
        except (NotFound, ModelFailure) as error:  # deleted just now, or changed in the bucket
            common.logger().warning("no objective read", model=model, reason=str(error))
    return found
