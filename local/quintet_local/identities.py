"""Physical ids and attributes of every resource, determined before any is created.

Names follow from the template alone, so references resolve at once and a restart produces the
same names. CloudFormation would add a random suffix.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from quintet_local.intrinsics import Scope, resolve
from quintet_local.names import ACCOUNT, PARTITION, STACK, arn

__all__ = ["Identity", "identities"]


@dataclass(frozen=True)
class Identity:
    """The values of `Ref` and `Fn::GetAtt`."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Subject:
    """A resource whose identity is being built; `text` resolves a property that names it."""

    logical_id: str
    properties: Mapping[str, Any]
    text: Callable[[Any], str]
    endpoint_url: str

    def name(self, name_property: str, default: str | None = None) -> str:
        given = self.properties.get(name_property)
        return self.text(given) if given is not None else default or f"{STACK}-{self.logical_id}"


def identities(
    resources: Mapping[str, Any], scope: Scope, endpoint_url: str
) -> dict[str, Identity]:
    """Return each resource's identity; `scope` knows the parameters and pseudo parameters."""
    found: dict[str, Identity] = {}
    versions: dict[str, int] = {}

    def ref(name: str) -> str | None:
        return make(name).ref if name in resources else None

    def attribute(name: str, key: str) -> str | None:
        return make(name).attributes.get(key) if name in resources else None

    within = replace(scope, ref=ref, attribute=attribute)

    def text(value: Any) -> str:
        """Return a name that a property gives; it may contain those of other resources."""
        return str(resolve(value, within))

    def make(logical_id: str) -> Identity:
        if logical_id not in found:
            resource = resources[logical_id]
            properties = resource.get("Properties") or {}
            subject = _Subject(logical_id, properties, text, endpoint_url)
            if resource["Type"] == "AWS::Lambda::Version":
                owner = text(properties["FunctionName"])
                versions[owner] = versions.get(owner, 0) + 1
                found[logical_id] = _version(owner, str(versions[owner]))
            else:
                found[logical_id] = _MAKERS.get(resource["Type"], _plain)(subject)
        return found[logical_id]

    for logical_id in resources:
        make(logical_id)
    return found


def _plain(subject: _Subject) -> Identity:
    """A resource that nothing needs to reach: a name, and an ARN in case one is requested."""
    name = f"{STACK}-{subject.logical_id}"
    return Identity(name, {"Id": name, "Arn": arn("local", name)})


def _named(name_property: str, service: str, prefix: str) -> Callable[[_Subject], Identity]:
    """The usual form: Ref is the name, Arn ends with it."""

    def make(subject: _Subject) -> Identity:
        name = subject.name(name_property)
        return Identity(name, {"Arn": arn(service, prefix + name)})

    return make


def _version(owner: str, number: str) -> Identity:
    reference = f"{arn('lambda', f'function:{owner}')}:{number}"
    return Identity(reference, {"Version": number, "FunctionArn": reference})


def _alias(subject: _Subject) -> Identity:
    owner, name = subject.name("FunctionName"), subject.name("Name")
    reference = f"{arn('lambda', f'function:{owner}')}:{name}"
    return Identity(reference, {"AliasArn": reference})


def _mapping(subject: _Subject) -> Identity:
    reference = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{STACK}/{subject.logical_id}"))
    source = arn("lambda", f"event-source-mapping:{reference}")
    return Identity(reference, {"Id": reference, "EventSourceMappingArn": source})


def _key(subject: _Subject) -> Identity:
    reference = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{STACK}/{subject.logical_id}"))
    return Identity(reference, {"Arn": arn("kms", f"key/{reference}"), "KeyId": reference})


def _layer(subject: _Subject) -> Identity:
    name = subject.name("LayerName", subject.logical_id)
    reference = arn("lambda", f"layer:{name}:1")
    return Identity(reference, {"LayerVersionArn": reference})


def _state_machine(subject: _Subject) -> Identity:
    # CloudFormation puts the logical id first here, and IAM policies rely on this
    name = subject.name("StateMachineName", f"{subject.logical_id}-{STACK}")
    reference = arn("states", f"stateMachine:{name}")
    return Identity(reference, {"Arn": reference, "Name": name})


def _rest_api(subject: _Subject) -> Identity:
    name = "".join(c for c in f"{STACK}{subject.logical_id}".lower() if c.isalnum())
    return Identity(name, {"RootResourceId": "root", "RestApiId": name})


def _stage(subject: _Subject) -> Identity:
    return Identity(subject.name("StageName"))


def _bucket(subject: _Subject) -> Identity:
    name = subject.name("BucketName", f"{STACK}-{subject.logical_id}".lower())
    domain = f"{name}.s3.amazonaws.com"
    return Identity(name, {"Arn": f"arn:{PARTITION}:s3:::{name}", "DomainName": domain})


def _queue(subject: _Subject) -> Identity:
    name = subject.name("QueueName")
    url = f"{subject.endpoint_url}/{ACCOUNT}/{name}"
    return Identity(url, {"Arn": arn("sqs", name), "QueueName": name, "QueueUrl": url})


def _topic(subject: _Subject) -> Identity:
    name = subject.name("TopicName")
    reference = arn("sns", name)
    return Identity(reference, {"TopicArn": reference, "TopicName": name})


def _log_group(subject: _Subject) -> Identity:
    name = subject.name("LogGroupName")
    return Identity(name, {"Arn": f"{arn('logs', f'log-group:{name}')}:*"})


def _role(subject: _Subject) -> Identity:
    name = subject.name("RoleName")
    return Identity(name, {"Arn": f"arn:{PARTITION}:iam::{ACCOUNT}:role/{name}", "RoleId": name})


_MAKERS: Mapping[str, Callable[[_Subject], Identity]] = {
    "AWS::ApiGateway::RestApi": _rest_api,
    "AWS::ApiGateway::Stage": _stage,
    "AWS::CloudWatch::Alarm": _named("AlarmName", "cloudwatch", "alarm:"),
    "AWS::CloudWatch::CompositeAlarm": _named("AlarmName", "cloudwatch", "alarm:"),
    "AWS::CloudWatch::Dashboard": _named("DashboardName", "cloudwatch", "dashboard/"),
    "AWS::DynamoDB::Table": _named("TableName", "dynamodb", "table/"),
    "AWS::Events::Rule": _named("Name", "events", "rule/"),
    "AWS::IAM::Role": _role,
    "AWS::KMS::Key": _key,
    "AWS::Kinesis::Stream": _named("Name", "kinesis", "stream/"),
    "AWS::Lambda::Alias": _alias,
    "AWS::Lambda::EventSourceMapping": _mapping,
    "AWS::Lambda::Function": _named("FunctionName", "lambda", "function:"),
    "AWS::Lambda::LayerVersion": _layer,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": _bucket,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
    "AWS::Scheduler::Schedule": _named("Name", "scheduler", "schedule/default/"),
    "AWS::StepFunctions::StateMachine": _state_machine,
}
