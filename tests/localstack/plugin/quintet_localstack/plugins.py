"""The entry points: where LocalStack would start Docker or download an engine, this is started."""

from __future__ import annotations

from typing import Any

from localstack.aws.api.dynamodb import DynamodbApi
from localstack.aws.api.kinesis import KinesisApi
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.moto import MotoFallbackDispatcher
from localstack.services.plugins import Service, aws_provider

__all__ = ["HostExecutorPlugin", "dynamodb", "kinesis"]


class HostExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]
    """Functions as processes of this machine."""

    name = "host"

    def load(self, *args: Any, **kwargs: Any) -> Any:
        from quintet_localstack.executor import HostExecutor

        return HostExecutor


@aws_provider(api="dynamodb", name="moto")  # type: ignore[untyped-decorator]
def dynamodb() -> Service:
    """moto's tables, for DynamoDB Local, which is a download."""
    return Service.for_provider(DynamodbApi(), dispatch_table_factory=MotoFallbackDispatcher)


@aws_provider(api="kinesis", name="moto")  # type: ignore[untyped-decorator]
def kinesis() -> Service:
    """moto's streams, for kinesis-mock, which is a download."""
    return Service.for_provider(KinesisApi(), dispatch_table_factory=MotoFallbackDispatcher)
