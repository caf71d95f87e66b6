"""The entry points: where the engine would start Docker or download an engine, this is started."""

from __future__ import annotations

from typing import Any

from quintet_localstack.engine import module

__all__ = ["HostExecutorPlugin", "dynamodb", "kinesis"]

_services = module("services.plugins")


_Plugin: Any = module("services.lambda_.invocation.plugins").RuntimeExecutorPlugin


class HostExecutorPlugin(_Plugin):  # type: ignore[misc]
    """Functions as processes of this machine."""

    name = "host"

    def load(self, *args: Any, **kwargs: Any) -> Any:
        from quintet_localstack.executor import HostExecutor

        return HostExecutor


@_services.aws_provider(api="dynamodb", name="moto")  # type: ignore[untyped-decorator]
def dynamodb() -> Any:
    """moto's tables, for DynamoDB Local, which is a download."""
    return _by_moto(module("aws.api.dynamodb").DynamodbApi())


@_services.aws_provider(api="kinesis", name="moto")  # type: ignore[untyped-decorator]
def kinesis() -> Any:
    """moto's streams, for kinesis-mock, which is a download."""
    return _by_moto(module("aws.api.kinesis").KinesisApi())


def _by_moto(api: Any) -> Any:
    moto = module("services.moto").MotoFallbackDispatcher
    return _services.Service.for_provider(api, dispatch_table_factory=moto)
