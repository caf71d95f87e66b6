"""Physical ids and attributes of the resources that moto does not make: fixed in advance.

moto's part refers to them before the Lambda plane exists, so they follow from the template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quintet_local.names import STACK, arn

__all__ = ["OURS", "Identity", "identities"]


@dataclass(frozen=True)
class Identity:
    """What `Ref` and `Fn::GetAtt` give."""

    ref: str
    attributes: Mapping[str, str]


Maker = Callable[[str, Mapping[str, Any], Callable[[Any], str]], Identity]


def identities(resources: Mapping[str, Any], resolve: Callable[[Any], Any]) -> dict[str, Identity]:
    """The identity of each resource that is ours; `resolve` knows the parameters."""
    found: dict[str, Identity] = {}
    versions: dict[str, int] = {}

    def ref_of(value: Any) -> str:
        """The physical id that a property names, by Ref to one of ours or outright."""
        if isinstance(value, dict) and value.get("Ref") in resources:
            return make(value["Ref"]).ref
        return str(resolve(value))

    def make(logical_id: str) -> Identity:
        if logical_id not in found:
            resource = resources[logical_id]
            kind, properties = resource["Type"], resource.get("Properties") or {}
            if kind == "AWS::Lambda::Version":
                owner = ref_of(properties["FunctionName"])
                versions[owner] = versions.get(owner, 0) + 1
                number = str(versions[owner])
                reference = f"{arn('lambda', f'function:{owner}')}:{number}"
                found[logical_id] = Identity(reference, {"Version": number})
            else:
                found[logical_id] = OURS[kind](logical_id, properties, ref_of)
        return found[logical_id]

    for logical_id, resource in resources.items():
        if resource["Type"] in OURS:
            make(logical_id)
    return found


def _named(name_property: str) -> Callable[[str, Mapping[str, Any], Callable[[Any], str]], str]:
    def name(logical_id: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]) -> str:
        given = properties.get(name_property)
        return f"{STACK}-{logical_id}" if given is None else ref_of(given)

    return name


def _with_arn(name_property: str, service: str, prefix: str) -> Maker:
    name_of = _named(name_property)

    def make(
        logical_id: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]
    ) -> Identity:
        name = name_of(logical_id, properties, ref_of)
        return Identity(name, {"Arn": arn(service, prefix + name)})

    return make


def _alias(_: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]) -> Identity:
    owner = ref_of(properties["FunctionName"])
    reference = f"{arn('lambda', f'function:{owner}')}:{ref_of(properties['Name'])}"
    return Identity(reference, {"AliasArn": reference})


def _layer(
    logical_id: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]
) -> Identity:
    name = ref_of(properties["LayerName"]) if "LayerName" in properties else logical_id
    reference = arn("lambda", f"layer:{name}:1")
    return Identity(reference, {"LayerVersionArn": reference})


def _state_machine(
    logical_id: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]
) -> Identity:
    given = properties.get("StateMachineName")
    # CloudFormation puts the logical id first here
    name = f"{logical_id}-{STACK}" if given is None else ref_of(given)
    reference = arn("states", f"stateMachine:{name}")
    return Identity(reference, {"Arn": reference, "Name": name})


def _rest_api(logical_id: str, _: Mapping[str, Any], __: Callable[[Any], str]) -> Identity:
    name = "".join(c for c in f"{STACK}{logical_id}".lower() if c.isalnum())
    return Identity(name, {"RootResourceId": "root", "RestApiId": name})


def _stage(_: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]) -> Identity:
    return Identity(ref_of(properties["StageName"]), {})


def _plain(logical_id: str, _: Mapping[str, Any], __: Callable[[Any], str]) -> Identity:
    return Identity(f"{STACK}-{logical_id}", {"Id": f"{STACK}-{logical_id}"})


def _schedule(
    logical_id: str, properties: Mapping[str, Any], ref_of: Callable[[Any], str]
) -> Identity:
    name = _named("Name")(logical_id, properties, ref_of)
    return Identity(name, {"Arn": arn("scheduler", f"schedule/default/{name}")})


#: The types that are not moto's, each with the maker of its identity.
OURS: Mapping[str, Maker] = {
    "AWS::ApiGateway::Deployment": _plain,
    "AWS::ApiGateway::RestApi": _rest_api,
    "AWS::ApiGateway::Stage": _stage,
    "AWS::ApplicationAutoScaling::ScalableTarget": _plain,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _plain,
    "AWS::Events::Rule": _with_arn("Name", "events", "rule/"),
    "AWS::Lambda::Alias": _alias,
    "AWS::Lambda::EventInvokeConfig": _plain,
    "AWS::Lambda::EventSourceMapping": _plain,
    "AWS::Lambda::Function": _with_arn("FunctionName", "lambda", "function:"),
    "AWS::Lambda::LayerVersion": _layer,
    "AWS::Lambda::Permission": _plain,
    "AWS::Lambda::Version": _plain,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::S3::BucketPolicy": _plain,
    "AWS::SQS::QueuePolicy": _plain,
    "AWS::SNS::TopicPolicy": _plain,
    "AWS::StepFunctions::StateMachine": _state_machine,
}
