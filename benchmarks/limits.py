"""The limits of a deployed stage that the template sets, for benchmarks/costs.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quintet_local.plan import Plan

__all__ = ["limits"]

DAY = 86_400
MIB = 1 << 20


def limits(of: Plan) -> Iterable[str]:
    """Return the template's own limits as a table in Markdown."""
    yield from ("", "| what | at most | beyond it |", "|---|---|---|")
    yield from (f"| {what} | {most} | {then} |" for what, most, then in _template(of))


def _template(of: Plan) -> Iterable[tuple[str, str, str]]:
    functions = of.of_type("AWS::Lambda::Function")
    mappings = of.of_type("AWS::Lambda::EventSourceMapping")
    (stage,) = of.of_type("AWS::ApiGateway::Stage").values()
    (throttle,) = stage["MethodSettings"]
    rate, burst = throttle["ThrottlingRateLimit"], throttle["ThrottlingBurstLimit"]
    yield "requests to the API", f"{rate:,} a second, bursts of {burst:,}", "429 by API Gateway"
    timeout = functions["Predict"]["Timeout"]
    yield (
        "one request",
        f"29 s of API Gateway, {timeout} s of `predict`",
        "504; submit a job instead",
    )
    work = mappings["WorkAccepted"]
    seconds = functions["Work"]["Timeout"]
    most = work["ScalingConfig"]["MaximumConcurrency"]
    jobs = f"{most} times {work['BatchSize']} jobs at once, {seconds} s each"
    yield "jobs (`WorkMaxConcurrency`, `WorkBatchSize`)", jobs, "they wait in the queue"
    yield from _queues(of.of_type("AWS::SQS::Queue"))
    (stream,) = of.of_type("AWS::Kinesis::Stream").values()
    shards = stream.get("ShardCount", 0)
    kept = stream["RetentionPeriodHours"]
    put = f"{shards * 1000:,} records and {shards} MB a second; kept {kept} hours"
    yield "the stream (`StreamShards`)", put, "producers are throttled"
    source = mappings["ScoreStreamArrived"]
    tries, age = source["MaximumRetryAttempts"], source["MaximumRecordAgeInSeconds"]
    yield "a poison record", f"{tries} retries, {age // 60} minutes", "`StreamFailures`, S3"
    units = of.template.parameters
    most_units = f"{units['BatchMaxConcurrency']} units at once, of about "
    most_units += (
        f"{int(units['UnitTargetBytes']) // MIB} MiB, {functions['ScoreUnit']['Timeout']} s each"
    )
    yield "a batch run (`BatchMaxConcurrency`, `UnitTargetBytes`)", most_units, "the others wait"


def _queues(queues: dict[str, dict[str, Any]]) -> Iterable[tuple[str, str, str]]:
    for name, queue in queues.items():
        days = queue["MessageRetentionPeriod"] // DAY
        if "RedrivePolicy" in queue:
            tries = queue["RedrivePolicy"]["maxReceiveCount"]
            yield f"a message in `{name}`", f"{tries} receives, {days} days", "dead letters"
        else:
            yield f"a message in `{name}`", f"{days} days", "deleted"
