"""Targets to which the local AWS sends messages: a queue, topic, function or state machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # services import schedules, which import what is served here
    from quintet_local.services import Services

__all__ = ["SERVED", "Targets"]

SERVED = ("lambda", "sqs", "sns", "states")


class Targets:
    """Delivers one message to an ARN. `call` calls a function asynchronously."""

    def __init__(self, services: Services, call: Callable[[str, bytes], None]) -> None:
        self._services = services
        self._call = call
        self._clients: dict[str, Any] = {}

    def send(self, arn: str, body: str, attributes: dict[str, str] | None = None) -> None:
        """Send `body`, with `attributes` if the target supports them.

        Raises:
            ValueError: the kind of target is not supported here.
        """
        service = arn.split(":")[2]
        given = {
            name: {"DataType": "String", "StringValue": value or "-"}
            for name, value in (attributes or {}).items()
        }
        if service == "lambda":
            self._call(arn, body.encode())
        elif service == "sqs":
            sqs = self._client("sqs")
            url = sqs.get_queue_url(QueueName=arn.rsplit(":", maxsplit=1)[-1])["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=given)
        elif service == "sns":
            self._client("sns").publish(TopicArn=arn, Message=body, MessageAttributes=given)
        elif service == "states":
            self._client("stepfunctions").start_execution(stateMachineArn=arn, input=body)
        else:
            raise ValueError(f"{arn}: nothing is sent to {service} here")

    def store(self, bucket_arn: str, key: str, body: str) -> None:
        """Put an object into the bucket with that ARN."""
        bucket = bucket_arn.rsplit(":", maxsplit=1)[-1]
        self._client("s3").put_object(
            Bucket=bucket, Key=key, Body=body.encode(), ContentType="application/json"
        )

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._services.client(service)
        return self._clients[service]
