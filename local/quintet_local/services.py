"""moto, set up as the services of the local AWS: made from a plan, then finished by the API."""

from __future__ import annotations

import json
import os
import warnings
from functools import partial
from typing import Any

import boto3
from botocore.config import Config

from quintet_local.names import ACCOUNT, CREDENTIALS, REGION, STACK
from quintet_local.stack import Plan, Stack, StateMachine
from quintet_local.template import TemplateError

__all__ = ["Services"]


class Services:
    """moto behind one endpoint in this process."""

    def __init__(self, endpoint_url: str, port: int) -> None:
        self.endpoint_url = endpoint_url
        # moto's Step Functions interpreter calls its own port
        os.environ["MOTO_PORT"] = str(port)
        from moto.core.config import default_user_config

        default_user_config["stepfunctions"] = {"execute_state_machine": True}

    def client(self, service: str) -> Any:
        """A boto3 client of one of the services."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}, read_timeout=70, max_pool_connections=50),
        )

    def create(self, plan: Plan) -> None:
        """Make moto's part of the template.

        Raises:
            TemplateError: moto refused a resource.
        """
        from moto.cloudformation.models import cloudformation_backends

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                # its HTTP API turns a resource's error into a page
                self._stack = cloudformation_backends[ACCOUNT][REGION].create_stack(
                    name=STACK, template=json.dumps(plan.moto_template()), parameters={}, tags={}
                )
            except Exception as error:  # any service's own
                raise TemplateError(f"moto refused the template: {error}") from error

    def ref(self, logical_id: str) -> str | None:
        """The physical id of a resource that moto made; a queue's address is one that works."""
        resource = self._resource(logical_id)
        if resource is None:
            return None
        physical = str(resource.physical_resource_id)
        return physical.replace(f"https://sqs.{REGION}.amazonaws.com", self.endpoint_url)

    def attribute(self, logical_id: str, name: str) -> Any:
        resource = self._resource(logical_id)
        return None if resource is None else resource.get_cfn_attribute(name)

    def _resource(self, logical_id: str) -> Any:
        resources = self._stack.resource_map
        return resources[logical_id] if logical_id in resources else None

    def finish(self, stack: Stack) -> None:
        """Put what moto's CloudFormation leaves out: buckets' settings and state machines."""
        s3 = self.client("s3")
        for bucket, properties in stack.buckets.items():
            for put in _bucket_calls(s3, bucket, properties):
                put()
        states = self.client("stepfunctions")
        for machine in stack.machines:
            _create_machine(states, machine)


def _create_machine(states: Any, machine: StateMachine) -> None:
    try:
        states.create_state_machine(
            name=machine.name,
            definition=json.dumps(machine.definition),
            roleArn=machine.role_arn,
            type=machine.kind,
        )
    except states.exceptions.ClientError as error:
        raise TemplateError(f"{machine.logical_id}: {error}") from error


def _bucket_calls(s3: Any, bucket: str, properties: dict[str, Any]) -> list[partial[Any]]:
    calls = []
    if versioning := properties.get("VersioningConfiguration"):
        calls.append(
            partial(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versioning)
        )
    if block := properties.get("PublicAccessBlockConfiguration"):
        calls.append(
            partial(s3.put_public_access_block, Bucket=bucket, PublicAccessBlockConfiguration=block)
        )
    if notification := properties.get("NotificationConfiguration"):
        configuration = _notification(notification)
        calls.append(
            partial(
                s3.put_bucket_notification_configuration,
                Bucket=bucket,
                NotificationConfiguration=configuration,
            )
        )
    return calls


_TARGETS = {
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
}


def _notification(configuration: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation's form of a bucket's notifications in the API's."""
    answer: dict[str, Any] = {}
    for ours, (theirs, target, arn) in _TARGETS.items():
        for index, entry in enumerate(configuration.get(ours, [])):
            put = {"Id": f"{ours}{index}", arn: entry[target], "Events": [entry["Event"]]}
            rules = entry.get("Filter", {}).get("S3Key", {}).get("Rules")
            if rules:
                put["Filter"] = {"Key": {"FilterRules": rules}}
            answer.setdefault(theirs, []).append(put)
    return answer
