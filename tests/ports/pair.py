"""A port's version in memory beside its adapter, and an AWS whose calls can be made to fail."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.kits.aws import client, environ
from tests.kits.jobs import table_properties

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse
from quintet.aws.signing import AwsRequest
from quintet.errors import QuintetError, Transient

__all__ = ["Aws", "Pair", "nothing", "outcome"]

_numbers = itertools.count(1)
#: operations that change nothing: a reply of theirs that is lost is no danger
_READS = re.compile(r"(Batch)?Get|Query|Scan|Describe|List|Look|Receive")
_XML_ERRORS = {
    "s3": (503, "SlowDown"),
    "sns": (400, "Throttling"),
    "monitoring": (400, "Throttling"),
}


class Aws:
    """The resources of one test on moto, and clients of them.

    `fault` is what becomes of the clients' calls: "" for nothing, "throttled" for refused before
    they are done, "lost" for done and the reply of every write lost, "lost once" for that of the
    next write.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"ports-{next(_numbers)}"
        self.fault = ""

    def signed(self, service: str) -> AwsClient:
        """The functions' client, which the fault befalls."""
        return _Faulty(service, self)

    def boto(self, service: str) -> Any:
        """A boto3 client, which no fault befalls."""
        return client(service, self.url)

    def table(self, resource: str) -> str:
        """A new table as template.yaml has it; its name."""
        name = f"{self.name}-{resource}"
        self.boto("dynamodb").create_table(TableName=name, **table_properties(resource))
        return name

    def bucket(self, *, versions: bool = False) -> str:
        """A new bucket; its name."""
        self.boto("s3").create_bucket(Bucket=self.name)
        if versions:
            status = {"Status": "Enabled"}
            self.boto("s3").put_bucket_versioning(Bucket=self.name, VersioningConfiguration=status)
        return self.name

    @cached_property
    def queue(self) -> str:
        """A queue; its URL."""
        url: str = self.boto("sqs").create_queue(QueueName=self.name)["QueueUrl"]
        return url

    def bodies(self) -> set[str]:
        """The bodies of the messages on the queue, which stay there."""
        found = self.boto("sqs").receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return {message["Body"] for message in found.get("Messages", [])}


class _Faulty(AwsClient):
    """A client that does not wait, and whose calls fail as `Aws.fault` says."""

    def __init__(self, service: str, aws: Aws) -> None:
        super().__init__(service, environ=environ(aws.url), sleep=lambda seconds: None)
        self._aws = aws

    def _send(self, request: AwsRequest, *rest: Any) -> AwsResponse:
        if self._aws.fault == "throttled":
            return _throttle(self.service)
        answer = super()._send(request, *rest)
        if self._aws.fault.startswith("lost") and _writes(request):
            if self._aws.fault == "lost once":
                self._aws.fault = ""
            raise ConnectionResetError
        return answer


def _writes(request: AwsRequest) -> bool:
    target = request.headers.get("x-amz-target", "")
    if target:
        return not _READS.match(target.rpartition(".")[2])
    return request.method not in {"GET", "HEAD"}


def _throttle(service: str) -> AwsResponse:
    if service in _XML_ERRORS:
        status, code = _XML_ERRORS[service]
        return AwsResponse(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
    return AwsResponse(400, {}, json.dumps({"__type": "aws#ThrottlingException"}).encode())


def nothing(port: Any) -> None:
    """Store nothing before a call, or tell nothing of what is stored."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The two versions of some ports, and a call of each of their operations.

    `before` stores what the calls need, through the port. `state` reads what is stored through the
    version that it is given, with the AWS of an adapter, None for the version in memory.

    A call that is refused raises `refused`, unless `quiet` says what it returns instead. One whose
    first reply is lost is sent again by the client, except those in `once`, which raise `refused`.
    The answer is the first one's, for those in `again` that of a second call.
    """

    ports: tuple[type, ...]
    memory: Callable[[], Any]
    adapter: Callable[[Aws], Any]
    calls: Mapping[str, Callable[[Any], Any]]
    state: Callable[[Any, Aws | None], Any]
    before: Callable[[Any], Any] = nothing
    refused: type[Exception] = Transient
    quiet: Mapping[str, Any] = field(default_factory=dict)
    once: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the error that it raises: its class and, if it is final, its text."""
    try:
        return call()
    except Transient as error:
        return type(error).__name__
    except QuintetError as error:
        return type(error).__name__, str(error)
