"""Checks for event source mappings that Lambda would refuse to create.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quintet_local.functions import Function
from quintet_local.plan import Plan
from quintet_local.sources.kinesis_config import Refused, check_stream
from quintet_local.stack import SourceMapping, Stack
from quintet_local.template import TemplateError

__all__ = ["check_queue", "check_sources"]

#: valid for streams only
_STREAMS = (
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "StartingPosition",
    "StartingPositionTimestamp",
    "TumblingWindowInSeconds",
)
DEFAULT_VISIBILITY = 30


def check_sources(plan: Plan, stack: Stack) -> None:
    """Check that Lambda would create every mapping of the stack.

    Raises:
        TemplateError: it would refuse one.
    """
    queues = {
        plan.identities[name].attributes["Arn"]: properties
        for name, properties in plan.of_type("AWS::SQS::Queue").items()
    }
    for mapping in stack.mappings:
        service = mapping.source_arn.split(":")[2]
        try:
            if service == "kinesis":
                check_stream(mapping.properties)
                if "ScalingConfig" in mapping.properties:
                    raise Refused("ScalingConfig: only queues have one")
            elif service == "sqs":
                queue = queues.get(mapping.source_arn, {})
                check_queue(mapping.properties, queue, _function(stack, mapping))
        except Refused as error:
            raise TemplateError(f"{mapping.logical_id}: {error}") from error


def check_queue(
    properties: Mapping[str, Any], queue: Mapping[str, Any], function: Function | None
) -> None:
    """Check that Lambda would let the function read the queue, given both resources' properties.

    Raises:
        Refused: it would not.
    """
    for name in _STREAMS:
        if name in properties:
            raise Refused(f"{name}: only streams have it")
    fifo = str(queue.get("FifoQueue", False)).lower() == "true"
    batch = _within("BatchSize", properties.get("BatchSize", 10), 1, 10 if fifo else 10_000)
    window = properties.get("MaximumBatchingWindowInSeconds", 0)
    window = _within("MaximumBatchingWindowInSeconds", window, 0, 0 if fifo else 300)
    if batch > 10 and window < 1:
        raise Refused("MaximumBatchingWindowInSeconds: must be 1 or more with a BatchSize over 10")
    scaling = properties.get("ScalingConfig") or {}
    if "MaximumConcurrency" in scaling:
        _within("ScalingConfig.MaximumConcurrency", scaling["MaximumConcurrency"], 2, 1000)
    visibility = int(queue.get("VisibilityTimeout", DEFAULT_VISIBILITY))
    if function is not None and queue and visibility < function.timeout:
        raise Refused(
            f"the queue's visibility time-out of {visibility} s is less than the time-out of "
            f"{function.logical_id}, {function.timeout:g} s"
        )


def _within(name: str, value: Any, least: int, most: int) -> int:
    if not least <= int(value) <= most:
        raise Refused(f"{name}: {value} is not from {least} to {most}")
    return int(value)


def _function(stack: Stack, mapping: SourceMapping) -> Function | None:
    name = mapping.function.rpartition(":function:")[2].partition(":")[0]
    return stack.functions.get(name)
