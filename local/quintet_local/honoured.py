"""Which template properties the local AWS honours, by type; it reports the rest at start.

Nothing is ignored silently: a property that is not listed here also produces a notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quintet_local.alarms import alarms_of
from quintet_local.events import check_pattern
from quintet_local.filters import PatternError, matcher
from quintet_local.plan import Plan
from quintet_local.targets import SERVED
from quintet_local.template import local_path

__all__ = ["HONOURED", "NOTES", "Notice", "compact", "notices"]

Path = tuple[str, ...]


@dataclass(frozen=True, order=True)
class Notice:
    """A property that the local AWS does not honour; an empty one means the resource itself."""

    resource: str
    property: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.resource}.{self.property}" if self.property else self.resource
        return f"{where}: {self.reason}"


#: the resources that a line of the short form names
MOST_NAMED = 3
UNKNOWN = "not honoured here"
NOT_MADE = "not made here"
NOT_BUILT = "not built: its source and this Python environment's packages are used instead"

#: Honoured properties by type, dotted; a name covers everything below it, `*` matches any name.
HONOURED: Mapping[str, tuple[str, ...]] = {
    "AWS::ApiGateway::Deployment": ("Description", "RestApiId", "StageName"),
    "AWS::ApiGateway::ApiKey": ("Description", "Enabled", "Name", "Value"),
    "AWS::ApiGateway::RestApi": (
        "ApiKeySourceType",
        "BinaryMediaTypes",
        "Body.components.securitySchemes.*.in",
        "Body.components.securitySchemes.*.name",
        "Body.components.securitySchemes.*.type",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authorizer.authorizerResultTtlInSeconds",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authorizer.authorizerUri",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authorizer.type",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authtype",
        "Body.info",
        "Body.openapi",
        "Body.paths.*.*.responses",
        "Body.paths.*.*.security",
        "Body.paths.*.*.x-amazon-apigateway-integration.httpMethod",
        "Body.paths.*.*.x-amazon-apigateway-integration.type",
        "Body.paths.*.*.x-amazon-apigateway-integration.uri",
        "Body.swagger",
        "Body.x-amazon-apigateway-binary-media-types",
        "Body.x-amazon-apigateway-gateway-responses.*.responseParameters",
        "Body.x-amazon-apigateway-gateway-responses.*.responseTemplates",
        "Body.x-amazon-apigateway-gateway-responses.*.statusCode",
        "Description",
        "Name",
        "Tags",
    ),
    "AWS::ApiGateway::Stage": (
        "DeploymentId",
        "Description",
        "RestApiId",
        "StageName",
        "Tags",
        "Variables",
    ),
    "AWS::ApiGateway::UsagePlan": ("ApiStages", "Description", "Throttle", "UsagePlanName"),
    "AWS::ApiGateway::UsagePlanKey": ("KeyId", "KeyType", "UsagePlanId"),
    "AWS::CloudWatch::Alarm": (
        "ActionsEnabled",
        "AlarmActions",
        "AlarmDescription",
        "AlarmName",
        "ComparisonOperator",
        "DatapointsToAlarm",
        "Dimensions",
        "EvaluationPeriods",
        "InsufficientDataActions",
        "MetricName",
        "Metrics",
        "Namespace",
        "OKActions",
        "Period",
        "Statistic",
        "Threshold",
        "TreatMissingData",
    ),
    "AWS::CloudWatch::CompositeAlarm": (
        "ActionsEnabled",
        "AlarmActions",
        "AlarmDescription",
        "AlarmName",
        "AlarmRule",
        "InsufficientDataActions",
        "OKActions",
    ),
    "AWS::DynamoDB::Table": (
        "AttributeDefinitions",
        "BillingMode",
        "DeletionProtectionEnabled",
        "GlobalSecondaryIndexes",
        "KeySchema",
        "LocalSecondaryIndexes",
        "PointInTimeRecoverySpecification",
        "ProvisionedThroughput",
        "SSESpecification",
        "StreamSpecification",
        "TableName",
        "Tags",
        "TimeToLiveSpecification",
    ),
    "AWS::Events::Rule": (
        "Description",
        "EventPattern",
        "Name",
        "ScheduleExpression",
        "State",
        "Targets.Arn",
        "Targets.Id",
        "Targets.Input",
    ),
    "AWS::KMS::Key": ("Description", "KeyPolicy", "Tags"),
    "AWS::Kinesis::Stream": (
        "Name",
        "RetentionPeriodHours",
        "ShardCount",
        "StreamEncryption",
        "StreamModeDetails",
        "Tags",
    ),
    "AWS::Lambda::Alias": (
        "Description",
        "FunctionName",
        "FunctionVersion",
        "Name",
        "ProvisionedConcurrencyConfig",
        "RoutingConfig",
    ),
    "AWS::Lambda::EventInvokeConfig": (
        "DestinationConfig",
        "FunctionName",
        "MaximumEventAgeInSeconds",
        "MaximumRetryAttempts",
        "Qualifier",
    ),
    "AWS::Lambda::EventSourceMapping": (
        "BatchSize",
        "BisectBatchOnFunctionError",
        "DestinationConfig.OnFailure.Destination",
        "Enabled",
        "EventSourceArn",
        "FunctionName",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "MetricsConfig.Metrics",
        "ParallelizationFactor",
        "ScalingConfig.MaximumConcurrency",
        "StartingPosition",
        "StartingPositionTimestamp",
        "Tags",
        "TumblingWindowInSeconds",
    ),
    "AWS::Lambda::Function": (
        "Code",
        "DeadLetterConfig",
        "Description",
        "Environment",
        "FunctionName",
        "Handler",
        "Layers",
        "LoggingConfig.LogGroup",
        "MemorySize",
        "ReservedConcurrentExecutions",
        "Tags",
        "Timeout",
    ),
    "AWS::Lambda::LayerVersion": (
        "CompatibleArchitectures",
        "CompatibleRuntimes",
        "Content",
        "Description",
        "LayerName",
    ),
    "AWS::Lambda::Version": ("Description", "FunctionName"),
    "AWS::Logs::SubscriptionFilter": (
        "DestinationArn",
        "FilterName",
        "FilterPattern",
        "LogGroupName",
    ),
    "AWS::Logs::LogGroup": ("LogGroupName", "RetentionInDays", "Tags"),
    "AWS::S3::Bucket": (
        "BucketEncryption",
        "BucketName",
        "NotificationConfiguration.LambdaConfigurations",
        "NotificationConfiguration.QueueConfigurations",
        "NotificationConfiguration.TopicConfigurations",
        "PublicAccessBlockConfiguration",
        "Tags",
        "VersioningConfiguration",
    ),
    "AWS::SNS::Subscription": (
        "Endpoint",
        "FilterPolicy",
        "FilterPolicyScope",
        "Protocol",
        "RawMessageDelivery",
        "TopicArn",
    ),
    "AWS::SNS::Topic": (
        "ContentBasedDeduplication",
        "DisplayName",
        "FifoTopic",
        "KmsMasterKeyId",
        "Subscription",
        "Tags",
        "TopicName",
    ),
    "AWS::SQS::Queue": (
        "ContentBasedDeduplication",
        "DelaySeconds",
        "FifoQueue",
        "KmsMasterKeyId",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "QueueName",
        "ReceiveMessageWaitTimeSeconds",
        "RedrivePolicy",
        "SqsManagedSseEnabled",
        "Tags",
        "VisibilityTimeout",
    ),
    "AWS::Scheduler::Schedule": (
        "Description",
        "Name",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "State",
        "Target.Arn",
        "Target.Input",
    ),
    "AWS::StepFunctions::StateMachine": (
        "Definition",
        "DefinitionS3Location",
        "DefinitionString",
        "DefinitionSubstitutions",
        "RoleArn",
        "StateMachineName",
        "StateMachineType",
        "Tags",
    ),
}

#: Why some properties are not honoured; an empty path means the whole resource.
NOTES: Mapping[str, Mapping[str, str]] = {
    "AWS::ApiGateway::RestApi": {
        "Body.paths.*.*.x-amazon-apigateway-integration.credentials": "IAM is not enforced here",
        "EndpointConfiguration": "served on 127.0.0.1 only",
        "Parameters": "served on 127.0.0.1 only",
    },
    "AWS::ApiGateway::Stage": {
        "MethodSettings": "no throttling and no metrics of the API here",
        "TracingEnabled": "no X-Ray here",
    },
    "AWS::ApplicationAutoScaling::ScalableTarget": {
        "": "provisioned concurrency stays at the alias's value"
    },
    "AWS::ApplicationAutoScaling::ScalingPolicy": {
        "": "provisioned concurrency stays at the alias's value"
    },
    "AWS::CloudWatch::Dashboard": {"": "no pages here: `quintet slo` shows budgets and burns"},
    "AWS::CodeDeploy::Application": {"": "an alias moves to a new version at once"},
    "AWS::CodeDeploy::DeploymentGroup": {"": "an alias moves to a new version at once"},
    "AWS::Glue::Database": {"": "no Athena here: the tables of scores are not catalogued"},
    "AWS::IAM::ManagedPolicy": {"": "IAM is not enforced here"},
    "AWS::IAM::Policy": {"": "IAM is not enforced here"},
    "AWS::IAM::Role": {"": "calls that a function's role does not allow are reported, not refused"},
    "AWS::KMS::Key": {
        "EnableKeyRotation": "keys are not rotated here",
        "PendingWindowInDays": "a key is gone when the local AWS ends",
    },
    "AWS::Lambda::Function": {
        "Architectures": "functions run on this machine's processor",
        "LoggingConfig.LogFormat": "log lines stay as the function wrote them",
        "Role": "IAM is not enforced here",
        "Runtime": "functions run under the Python that runs the local AWS",
        "TracingConfig": "no X-Ray here; spans of every call are kept for `quintet trace`",
    },
    "AWS::Lambda::Permission": {"": "IAM is not enforced here"},
    "AWS::S3::Bucket": {"LifecycleConfiguration": "objects are not deleted by age here"},
    "AWS::S3::BucketPolicy": {"": "bucket policies are not enforced here (no TLS here either)"},
    "AWS::SNS::TopicPolicy": {"": "topic policies are not enforced here"},
    "AWS::SQS::QueuePolicy": {"": "queue policies are not enforced here"},
    "AWS::Scheduler::Schedule": {
        "FlexibleTimeWindow": "fires on time",
        "Target.RetryPolicy": "a schedule's target is tried once",
        "Target.RoleArn": "IAM is not enforced here",
    },
    "AWS::Events::Rule": {
        "Targets.DeadLetterConfig": "a rule's target is tried once",
        "Targets.RetryPolicy": "a rule's target is tried once",
        "Targets.RoleArn": "IAM is not enforced here",
    },
    "AWS::StepFunctions::StateMachine": {
        "LoggingConfiguration": "no log is written; see the execution history",
        "TracingConfiguration": "no X-Ray here",
    },
}

#: Property values that ask for nothing beyond the default behaviour.
_HARMLESS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("AWS::Lambda::Function", "LoggingConfig.LogFormat"): ("Text",),
    ("AWS::Scheduler::Schedule", "FlexibleTimeWindow"): ({"Mode": "OFF"},),
    ("AWS::ApiGateway::Stage", "TracingEnabled"): (False,),
}

#: The only values that are honoured.
_ONLY: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("AWS::ApiGateway::RestApi", "Body.paths.*.*.x-amazon-apigateway-integration.type"): (
        "aws_proxy",
        "AWS_PROXY",
    ),
    (
        "AWS::ApiGateway::RestApi",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authorizer.type",
    ): ("request",),
    # an answer that is kept for some seconds would be asked for each time here
    (
        "AWS::ApiGateway::RestApi",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authorizer.authorizerResultTtlInSeconds",
    ): (0,),
    (
        "AWS::ApiGateway::RestApi",
        "Body.components.securitySchemes.*.x-amazon-apigateway-authtype",
    ): ("awsSigv4", "custom"),
    ("AWS::ApiGateway::RestApi", "ApiKeySourceType"): ("AUTHORIZER",),
}

#: Resource attributes beside Properties that have no effect at run time.
_ATTRIBUTES = frozenset(
    {
        "Condition",
        "DeletionPolicy",
        "DependsOn",
        "Metadata",
        "Properties",
        "Type",
        "UpdateReplacePolicy",
    }
)

SOURCES = ("kinesis", "sqs")


def notices(plan: Plan) -> list[Notice]:
    """Return everything in the plan that is not honoured, by resource and property."""
    _, _, refused = alarms_of(plan)
    found = {Notice(name, "", reason) for name, reason in refused.items()}
    for name, resource in plan.resources.items():
        found |= set(_of_resource(name, resource))
    for name, properties in plan.of_type("AWS::Lambda::LayerVersion").items():
        content = properties["Content"]
        path = local_path(content.get("S3Bucket", ""), content.get("S3Key", ""))
        if path is None or not (plan.template.folder / path / "python").is_dir():
            found.add(Notice(name, "Content", NOT_BUILT))
    for section in sorted(set(plan.template.source) & {"Hooks"}):
        found.add(Notice("template", section, UNKNOWN))
    return sorted(found)


def compact(found: Iterable[Notice]) -> list[str]:
    """Return one line for each property and reason, with the first affected resources."""
    groups: dict[tuple[str, str], list[str]] = {}
    for notice in found:
        groups.setdefault((notice.property, notice.reason), []).append(notice.resource)
    return [
        f"{_first(names)}{f' .{where}' if where else ''}: {reason}"
        for (where, reason), names in groups.items()
    ]


def _first(names: Sequence[str]) -> str:
    """The names, or the first of many and the number of the others."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    shown = ", ".join(names[: MOST_NAMED - 1])
    return f"{shown} and {len(names) - MOST_NAMED + 1} more"


def _of_resource(name: str, resource: Mapping[str, Any]) -> Iterator[Notice]:
    kind = resource["Type"]
    notes = NOTES.get(kind, {})
    if "" in notes:
        yield Notice(name, "", f"{kind}: {notes['']}")
        return
    if kind not in HONOURED:
        yield Notice(name, "", f"{kind}: {NOT_MADE}")
        return
    for attribute in sorted(set(resource) - _ATTRIBUTES):
        yield Notice(name, f"({attribute})", UNKNOWN)
    properties = resource.get("Properties") or {}
    if kind == "AWS::Logs::SubscriptionFilter":
        yield from _of_filter(name, properties)
    if kind == "AWS::Events::Rule" and "EventPattern" in properties:
        yield from _of_rule(name, properties)
    if kind == "AWS::Lambda::EventSourceMapping":
        service = str(properties.get("EventSourceArn", "")).split(":")[2:3]
        if service and service[0] not in SOURCES:
            yield Notice(name, "EventSourceArn", f"events of {service[0]} are not delivered here")
    yield from _of_properties(name, kind, properties, ())


def _of_filter(name: str, properties: Mapping[str, Any]) -> Iterator[Notice]:
    if ":lambda:" not in str(properties.get("DestinationArn", "")):
        yield Notice(name, "DestinationArn", "lines are delivered to functions alone here")
    try:
        matcher(str(properties.get("FilterPattern", "")))
    except PatternError as error:
        yield Notice(name, "FilterPattern", f"{error}; no line is delivered")


def _of_rule(name: str, properties: Mapping[str, Any]) -> Iterator[Notice]:
    try:
        check_pattern(properties["EventPattern"])
    except PatternError as error:
        yield Notice(name, "EventPattern", f"{error}; no event is matched")
    for target in properties.get("Targets", []):
        if (service := target["Arn"].split(":")[2]) not in SERVED:
            yield Notice(name, "Targets.Arn", f"nothing is sent to {service} here")


def _of_properties(name: str, kind: str, node: Any, path: Path) -> Iterator[Notice]:
    if isinstance(node, list) and path:
        for item in node:
            yield from _of_properties(name, kind, item, path)
        return
    if path:
        pattern = _matching(HONOURED[kind], path)
        if pattern is not None:
            allowed = _ONLY.get((kind, pattern))
            if allowed is not None and node not in allowed:
                yield Notice(name, ".".join(path), f"{node} is not served here")
            return
        notes = NOTES.get(kind, {})
        pattern = _matching(tuple(notes), path)
        if pattern is not None:
            if node not in _HARMLESS.get((kind, pattern), ()):
                yield Notice(name, pattern, notes[pattern])
            return
        if not isinstance(node, dict) or not _above(kind, path):
            yield Notice(name, ".".join(path), UNKNOWN)
            return
    for key, value in node.items():
        yield from _of_properties(name, kind, value, (*path, key))


def _matching(patterns: tuple[str, ...], path: Path) -> str | None:
    """Return the pattern that matches exactly this path."""
    for pattern in patterns:
        parts = pattern.split(".")
        if len(parts) == len(path) and _fits(parts, path):
            return pattern
    return None


def _above(kind: str, path: Path) -> bool:
    """Whether a pattern matches something below this path."""
    patterns = (*HONOURED[kind], *NOTES.get(kind, {}))
    return any(
        len(parts) > len(path) and _fits(parts, path)
        for parts in (pattern.split(".") for pattern in patterns)
    )


def _fits(parts: list[str], path: Path) -> bool:
    return all(part in ("*", key) for part, key in zip(parts, path, strict=False))
