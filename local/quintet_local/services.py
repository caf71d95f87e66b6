"""moto as the services of the local AWS; creates a plan's resources in them, call by call.

moto's own CloudFormation silently ignores what it does not know (a bucket's versioning and
notifications, a table's time to live) and takes seconds to import; its services do not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quintet_local import hooks
from quintet_local.keys import make_key
from quintet_local.map_runs import with_fractions
from quintet_local.names import ACCOUNT, CREDENTIALS, REGION
from quintet_local.plan import Plan
from quintet_local.stack import StateMachine
from quintet_local.template import TemplateError

__all__ = ["Services"]

Properties = Mapping[str, Any]


class Services:
    """moto's services, served by this process at `endpoint_url`."""

    def __init__(self, endpoint_url: str, port: int) -> None:
        self.endpoint_url = endpoint_url
        # moto's Step Functions interpreter calls this port
        os.environ["MOTO_PORT"] = str(port)
        from moto.core.config import default_user_config

        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        self._session: Any = boto3.Session(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )

    def client(self, service: str) -> Any:
        """Return a boto3 client of one of the services."""
        config = Config(retries={"max_attempts": 0}, read_timeout=70, max_pool_connections=50)
        return self._session.client(service, endpoint_url=self.endpoint_url, config=config)

    def make(
        self,
        plan: Plan,
        machines: tuple[StateMachine, ...],
        material: Callable[[str, bytes], bytes],
    ) -> None:
        """Create the plan's resources; `material` is that of `make_key`.

        Raises:
            TemplateError: a service refused one.
        """
        for kind, service, maker in _MAKERS:
            found = plan.of_type(kind)
            client = self.client(service) if found else None
            for logical_id, properties in found.items():
                with _refusals_of(logical_id):
                    maker(client, plan, logical_id, properties)
        if keys := plan.of_type("AWS::KMS::Key"):
            hooks.install_keys()
            for logical_id, properties in keys.items():
                identity = plan.identities[logical_id]
                make_key(identity.ref, identity.attributes["Arn"], properties, material)
        if machines:
            hooks.import_state_machines()
        states = self.client("stepfunctions")
        for machine in machines:
            with _refusals_of(machine.logical_id):
                _state_machine(states, machine)


@contextmanager
def _refusals_of(logical_id: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, KeyError) as error:
        raise TemplateError(f"{logical_id}: {error}") from error


def _name(plan: Plan, logical_id: str) -> str:
    return plan.identities[logical_id].ref


def _log_group(logs: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    name = _name(plan, logical_id)
    logs.create_log_group(logGroupName=name)
    if days := properties.get("RetentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)


def _queue(sqs: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    attributes = {
        name: _attribute(value)
        for name, value in properties.items()
        if name not in ("QueueName", "Tags", "RedrivePolicy")
    }
    name = plan.identities[logical_id].attributes["QueueName"]
    sqs.create_queue(QueueName=name, Attributes=attributes, tags=_tags(properties))


def _redrive(sqs: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    """Set redrive policies once all queues exist: the dead-letter queue may be defined later."""
    if policy := properties.get("RedrivePolicy"):
        url = _name(plan, logical_id)
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})


def _topic(sns: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    names = ("DisplayName", "FifoTopic", "ContentBasedDeduplication", "KmsMasterKeyId")
    attributes = {name: _attribute(properties[name]) for name in names if name in properties}
    name = plan.identities[logical_id].attributes["TopicName"]
    arn = sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
    for subscription in properties.get("Subscription", []):
        sns.subscribe(
            TopicArn=arn, Protocol=subscription["Protocol"], Endpoint=subscription["Endpoint"]
        )


def _subscription(sns: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    names = ("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy")
    sns.subscribe(
        TopicArn=properties["TopicArn"],
        Protocol=properties["Protocol"],
        Endpoint=properties["Endpoint"],
        Attributes={name: _attribute(properties[name]) for name in names if name in properties},
    )


def _stream(kinesis: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    name = _name(plan, logical_id)
    mode = properties.get("StreamModeDetails") or {"StreamMode": "PROVISIONED"}
    shards = (
        {}
        if mode["StreamMode"] == "ON_DEMAND"
        else {"ShardCount": int(properties.get("ShardCount", 1))}
    )
    kinesis.create_stream(StreamName=name, StreamModeDetails=mode, **shards)
    hours = int(properties.get("RetentionPeriodHours", 24))
    if hours > 24:
        kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=hours)
    if encryption := properties.get("StreamEncryption"):
        kinesis.start_stream_encryption(StreamName=name, **encryption)


_TABLE = (
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
    "DeletionProtectionEnabled",
)


def _table(dynamodb: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    name = _name(plan, logical_id)
    given = {key: properties[key] for key in _TABLE if key in properties}
    if encryption := properties.get("SSESpecification"):
        rest = {key: value for key, value in encryption.items() if key != "SSEEnabled"}
        given["SSESpecification"] = {"Enabled": encryption["SSEEnabled"], **rest}
    if stream := properties.get("StreamSpecification"):
        given["StreamSpecification"] = {"StreamEnabled": True, **stream}
    dynamodb.create_table(TableName=name, **given)
    if ttl := properties.get("TimeToLiveSpecification"):
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
    if recovery := properties.get("PointInTimeRecoverySpecification"):
        dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification=recovery
        )


def _bucket(s3: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    name = _name(plan, logical_id)
    s3.create_bucket(Bucket=name)
    if versioning := properties.get("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
    if block := properties.get("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    if encryption := properties.get("BucketEncryption"):
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
            }
            for rule in encryption["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if notification := properties.get("NotificationConfiguration"):
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration=_notification(notification)
        )


_TARGETS = {
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
}


def _notification(configuration: Properties) -> dict[str, Any]:
    """Convert a bucket's notifications from CloudFormation's form to the API's."""
    answer: dict[str, Any] = {}
    for ours, (theirs, target, arn) in _TARGETS.items():
        for index, entry in enumerate(configuration.get(ours, [])):
            put = {"Id": f"{ours}{index}", arn: entry[target], "Events": [entry["Event"]]}
            rules = entry.get("Filter", {}).get("S3Key", {}).get("Rules")
            if rules:
                put["Filter"] = {"Key": {"FilterRules": rules}}
            answer.setdefault(theirs, []).append(put)
    return answer


def _state_machine(states: Any, machine: StateMachine) -> None:
    states.create_state_machine(
        name=machine.name,
        definition=with_fractions(json.dumps(machine.definition)),
        roleArn=machine.role_arn,
        type=machine.kind,
    )


def _alarm(cloudwatch: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    given = {name: value for name, value in properties.items() if name != "AlarmName"}
    cloudwatch.put_metric_alarm(AlarmName=_name(plan, logical_id), **given)


def _composite(cloudwatch: Any, plan: Plan, logical_id: str, properties: Properties) -> None:
    """Add a composite alarm to moto, whose API lists such alarms, but has no call to make one."""
    from moto.cloudwatch.models import cloudwatch_backends

    lists = ("AlarmActions", "OKActions", "InsufficientDataActions")
    alarm, ok, insufficient = (list(properties.get(name) or ()) for name in lists)
    backend: Any = cloudwatch_backends[ACCOUNT][REGION]
    backend.put_metric_alarm(
        name=_name(plan, logical_id),
        description=properties.get("AlarmDescription", ""),
        rule=properties["AlarmRule"],
        alarm_actions=alarm,
        ok_actions=ok,
        insufficient_data_actions=insufficient,
        actions_enabled=properties.get("ActionsEnabled", True),
        dimensions=[],
        **dict.fromkeys(_OF_METRICS),
    )


#: what moto's alarms have and composite alarms have not
_OF_METRICS = (
    "comparison_operator",
    "evaluation_periods",
    "metric_name",
    "namespace",
    "period",
    "statistic",
    "threshold",
)


def _attribute(value: Any) -> str:
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value)
    return str(value)


def _tags(properties: Properties) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}


Maker = Callable[[Any, Plan, str, Properties], None]

#: In this order: a resource comes after those that it refers to.
_MAKERS: tuple[tuple[str, str, Maker], ...] = (
    ("AWS::Logs::LogGroup", "logs", _log_group),
    ("AWS::SQS::Queue", "sqs", _queue),
    ("AWS::SQS::Queue", "sqs", _redrive),
    ("AWS::SNS::Topic", "sns", _topic),
    ("AWS::SNS::Subscription", "sns", _subscription),
    ("AWS::Kinesis::Stream", "kinesis", _stream),
    ("AWS::DynamoDB::Table", "dynamodb", _table),
    ("AWS::S3::Bucket", "s3", _bucket),
    ("AWS::CloudWatch::Alarm", "cloudwatch", _alarm),
    ("AWS::CloudWatch::CompositeAlarm", "cloudwatch", _composite),
)
