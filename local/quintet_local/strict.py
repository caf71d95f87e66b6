"""What AWS refuses in a template and moto does not: `quintet up --strict`.

Names and sizes are those of the local stack; AWS's names are some characters longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quintet_local.plan import Plan
from quintet_local.stack import Stack
from quintet_local.strict_calls import Ramp, StrictCalls
from quintet_local.template import TemplateError
from quintet_local.wsgi import WsgiApplication

__all__ = ["KEPT", "LENIENT", "Strictness", "refusals"]

#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
VARIABLES_BYTES = 4096
LAYERS = 5
#: executions that remain for functions without a reservation
KEPT = 100
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
POLICIES_CHARACTERS = 10_240
#: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
DEFINITION_BYTES = 1024 * 1024

#: the property that names a resource, and the maximum length of the name
NAMES: Mapping[str, tuple[str, int]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::Kinesis::Stream": ("Name", 128),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", 80),
}

#: numeric properties and their bounds
BOUNDS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "AWS::Lambda::Function": {"MemorySize": (128, 10_240), "Timeout": (1, 900)},
    "AWS::SQS::Queue": {
        "MaximumMessageSize": (1024, 1024 * 1024),
        "MessageRetentionPeriod": (60, 1_209_600),
        "VisibilityTimeout": (0, 43_200),
    },
    "AWS::Kinesis::Stream": {"RetentionPeriodHours": (24, 8760)},
}


@dataclass(frozen=True)
class Strictness:
    """How strictly the local AWS applies AWS's limits; `executions` is an account's concurrency."""

    on: bool = False
    executions: int | None = None
    table_ramp: bool = False

    def check(self, plan: Plan, stack: Stack) -> None:
        """Check a template against AWS's limits.

        Raises:
            TemplateError: AWS would refuse it; one line for each reason.
        """
        if not self.on:
            return
        found = list(refusals(plan, stack, self.executions))
        if found:
            raise TemplateError("AWS refuses this template: " + "; ".join(found))

    def before(self, services: WsgiApplication) -> WsgiApplication:
        """Wrap the services so that they refuse the calls that AWS refuses."""
        if not self.on:
            return services
        return StrictCalls(services, Ramp() if self.table_ramp else None)


LENIENT = Strictness()


def refusals(plan: Plan, stack: Stack, executions: int | None = None) -> Iterator[str]:
    """Return the reasons why AWS would refuse the template."""
    for name, resource in plan.resources.items():
        kind, properties = resource["Type"], resource.get("Properties") or {}
        for problem in _of_resource(kind, properties):
            yield f"{name}: {problem}"
    for machine in stack.machines:
        size = len(json.dumps(machine.definition))
        if size > DEFINITION_BYTES:
            yield f"{machine.logical_id}: a definition of {size:,} bytes, at most 1 MiB"
    if executions is not None:
        yield from _concurrency(stack, executions)


def _of_resource(kind: str, properties: Mapping[str, Any]) -> Iterator[str]:
    naming, longest = NAMES.get(kind, ("", 0))
    name = str(properties.get(naming, ""))
    if len(name) > longest:
        yield f"{naming} has {len(name)} characters, at most {longest}"
    if kind == "AWS::S3::Bucket" and name != name.lower():
        yield f"{naming} {name}: expected lower case"
    for key, (least, most) in BOUNDS.get(kind, {}).items():
        if key in properties and not least <= int(properties[key]) <= most:
            yield f"{key}: {properties[key]} is not from {least} to {most}"
    if kind == "AWS::Lambda::Function":
        yield from _function(properties)
    elif kind == "AWS::IAM::Role":
        policies = [p["PolicyDocument"] for p in properties.get("Policies") or ()]
        size = sum(len(json.dumps(policy, separators=(",", ":"))) for policy in policies)
        if size > POLICIES_CHARACTERS:
            yield f"inline policies of {size:,} characters, at most {POLICIES_CHARACTERS:,}"
    elif kind == "AWS::ApplicationAutoScaling::ScalableTarget":
        least, most = int(properties["MinCapacity"]), int(properties["MaxCapacity"])
        if most < least:
            yield f"MaxCapacity {most} is under MinCapacity {least}"


def _function(properties: Mapping[str, Any]) -> Iterator[str]:
    variables = (properties.get("Environment") or {}).get("Variables") or {}
    size = len(json.dumps({k: str(v) for k, v in variables.items()}, separators=(",", ":")))
    if size > VARIABLES_BYTES:
        yield f"environment variables of {size:,} bytes, at most {VARIABLES_BYTES:,}"
    layers = properties.get("Layers") or ()
    if len(layers) > LAYERS:
        yield f"{len(layers)} layers, at most {LAYERS}"


def _concurrency(stack: Stack, executions: int) -> Iterator[str]:
    """Check that reserved and provisioned concurrency leave Lambda's minimum unreserved."""
    taken = {}
    for function in stack.functions.values():
        provisioned = sum(alias.provisioned for alias in function.aliases.values())
        if function.reserved is not None and provisioned > function.reserved:
            yield f"{function.logical_id}: provisions {provisioned} of {function.reserved} reserved"
        if wanted := function.reserved if function.reserved is not None else provisioned:
            taken[function.logical_id] = wanted
    room = executions - min(KEPT, executions)
    if sum(taken.values()) > room:
        terms = " + ".join(f"{name} {number}" for name, number in taken.items())
        yield (
            f"{terms} executions are reserved or provisioned, and an account of {executions:,} "
            f"lets {room:,} be: its unreserved executions would fall under their minimum"
        )
