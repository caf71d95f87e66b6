"""Builds what `runs` needs, from its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from quintet.settings import RunsSettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.api.runs import RunsApi
    from quintet.aws.executions import StateMachineExecutions
    from quintet.batch.starts import Started

__all__ = ["api", "start_scheduled"]


@cache
def _settings() -> RunsSettings:
    return read(RunsSettings, os.environ)


def start_scheduled(event: Mapping[str, Any]) -> dict[str, Any]:
    """Start the run of a schedule; return its model and name."""
    from quintet.batch.plans import run_context
    from quintet.batch.schedules import start_scheduled

    with common.traced() as span:
        folder, new = start_scheduled(event, _executions())
        if span is not None:
            span.become(run_context(folder.run))
            span.about |= {"run": folder.run, "model": folder.model}
    common.request_telemetry().output.info("scheduled", model=folder.model, run=folder.run, new=new)
    return {"model": folder.model, "run": folder.run, "new": new}


@cache
def _executions() -> StateMachineExecutions:
    from quintet.aws.executions import StateMachineExecutions

    return StateMachineExecutions(common.client("states"), _settings().state_machine_arn)


@cache
def api() -> RunsApi:
    """The resource /runs."""
    from quintet.api.runs import RunsApi
    from quintet.aws.input_bucket import S3InputBucket
    from quintet.aws.payloads import presigner
    from quintet.aws.scores_bucket import S3ObjectStore
    from quintet.aws.targets import EndpointIds
    from quintet.batch.starts import start_run

    settings, s3 = _settings(), common.client("s3")
    executions = _executions()
    routes = common.registry(settings.registry_table)
    endpoints = EndpointIds(common.client("dynamodb"), settings.endpoints_table, "callback")

    presign = presigner(s3)

    def link(key: str) -> str:
        return presign(f"s3://{settings.scores_bucket}/{key}")

    inbox = S3InputBucket(s3, own=(settings.scores_bucket,))

    def begin(data: Mapping[str, Any], caller: str, trace: str) -> Started:
        check = partial(endpoints.check, caller=caller)
        return start_run(
            data, routes=routes, inbox=inbox, runs=executions, check=check, trace=trace
        )

    return RunsApi(
        begin=begin,
        shelf=S3ObjectStore(s3, settings.scores_bucket),
        executions=executions,
        link=link,
        bucket=settings.inbox_bucket,
    )
