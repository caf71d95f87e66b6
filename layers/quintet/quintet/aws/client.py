"""A lean client of AWS's HTTP APIs: Signature Version 4 over a kept-alive http.client.

boto3 and its S3 client cost a cold start over 300 ms before the first byte is sent; this
costs what http.client costs. It does what the online path needs and no more.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from quintet.aws.signing import Credentials, Request, sign
from quintet.errors import QuintetError, Transient

__all__ = ["AwsClient", "ConditionFailed", "Response", "dynamodb_call"]

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
ATTEMPTS = 3
BACKOFF_SECONDS = 0.05  # the ceiling of the first wait; it doubles, with full jitter

_RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
# DynamoDB answers a throttle with 400; nothing was done, so any call may be sent again
_THROTTLES = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
_CANCELLED = "TransactionCanceledException"
_FALSE = "ConditionalCheckFailed"
#: why a transaction is cancelled that may go better in a moment
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_DYNAMODB_READS = frozenset({"BatchGetItem", "DescribeTable", "GetItem", "Query", "Scan"})


class ConditionFailed(QuintetError):
    """A conditional write found another state than it asked for.

    `writes` are the places, in a transaction, of those whose conditions do not hold.
    """

    def __init__(self, text: str, writes: Sequence[int] = ()) -> None:
        super().__init__(text)
        self.writes = tuple(writes)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a request goes: scheme, host, port, and the prefix of its path."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        usual = {"http": 80, "https": 443}[self.scheme]
        return self.host if self.port == usual else f"{self.host}:{self.port}"


def _encode_query(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


class AwsClient:
    """Signed requests to one AWS service, safe to share between threads.

    The environment (credentials, region, endpoint) is read anew for every request.
    """

    def __init__(
        self,
        service: str,
        *,
        environ: Mapping[str, str] = os.environ,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self._environ = environ
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._attempts = attempts
        self._sleep = sleep
        self._idle: dict[Endpoint, list[http.client.HTTPConnection]] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        idempotent: bool | None = None,
    ) -> Response:
        """Send a request and return the answer, of whatever status below 500.

        `path` is not encoded; for S3 it is /bucket/key. An idempotent request (by default
        GET and HEAD) is tried again after a network failure, a 5xx or a throttle; any
        request is after a throttle.

        Raises:
            Transient: no answer, a 5xx or a throttle after all attempts.
        """
        again = method in ("GET", "HEAD") if idempotent is None else idempotent
        environ = self._environ
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint, path = self._locate(region, path)
        request = Request(
            method,
            quote(endpoint.prefix + path, safe="/~"),
            _encode_query(query or {}),
            {**(headers or {}), "host": endpoint.authority},
            body,
        )
        failure = ""
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(random.uniform(0, BACKOFF_SECONDS * 2 ** (attempt - 1)))
            try:
                response = self._send(request, endpoint, region, again)
            except (OSError, http.client.HTTPException) as error:
                failure = type(error).__name__
                if not again:
                    break
                continue
            throttled = _is_throttle(response)
            if response.status < 500 and not throttled:
                return response
            failure = f"status {response.status}"
            if not throttled and not (again and response.status in _RETRIED_STATUS):
                break
        raise Transient(f"{self.service} did not answer ({failure})")

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            for connection in self._idle.popitem()[1]:
                connection.close()

    def _send(
        self, request: Request, endpoint: Endpoint, region: str, idempotent: bool
    ) -> Response:
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = sign(request, self.service, region, self._credentials(), at)
        request = replace(request, headers=headers)
        connection = self._kept(endpoint)
        if connection is not None:
            try:
                return self._exchange(connection, endpoint, request)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not idempotent:  # it may have been served before the connection broke
                    raise
        return self._exchange(self._connect(endpoint), endpoint, request)

    def _exchange(
        self, connection: http.client.HTTPConnection, endpoint: Endpoint, request: Request
    ) -> Response:
        try:
            connection.request(
                request.method, request.target, request.body or None, request.headers
            )
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.setdefault(endpoint, []).append(connection)
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, fields, content)

    def _kept(self, endpoint: Endpoint) -> http.client.HTTPConnection | None:
        """An idle connection that the server has not closed, or None."""
        idle = self._idle.get(endpoint)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took the last one
                return None
            sock = connection.sock
            # an idle connection with something to read has been closed at the other end
            if sock is not None and not _readable(sock):
                return connection
            connection.close()
        return None

    def _connect(self, endpoint: Endpoint) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if endpoint.scheme == "https":
            connection = http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=self._connect_seconds, context=_tls()
            )
        else:
            connection = http.client.HTTPConnection(
                endpoint.host, endpoint.port, timeout=self._connect_seconds
            )
        connection.connect()
        connection.sock.settimeout(self._read_seconds)
        return connection

    def _locate(self, region: str, path: str) -> tuple[Endpoint, str]:
        """The endpoint and the path on it.

        S3 takes the bucket in the host, except where the endpoint is overridden or the
        bucket has dots, which AWS's wildcard certificate does not cover.
        """
        specific = f"AWS_ENDPOINT_URL_{self.service.upper().replace('-', '_')}"
        url = self._environ.get(specific) or self._environ.get("AWS_ENDPOINT_URL")
        if url:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            prefix = parts.path.rstrip("/")
            return Endpoint(parts.scheme, parts.hostname or "", port, prefix), path
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        host = f"{self.service}.{region}.{suffix}"
        bucket, _, key = path[1:].partition("/")
        if self.service == "s3" and bucket and "." not in bucket:
            return Endpoint("https", f"{bucket}.{host}", 443), f"/{key}"
        return Endpoint("https", host, 443), path

    def _credentials(self) -> Credentials:
        environ = self._environ
        try:
            return Credentials(
                environ["AWS_ACCESS_KEY_ID"],
                environ["AWS_SECRET_ACCESS_KEY"],
                environ.get("AWS_SESSION_TOKEN"),
            )
        except KeyError as missing:
            raise Transient(f"no credentials: {missing.args[0]} is not set") from None


def dynamodb_call(
    client: AwsClient, operation: str, payload: Mapping[str, Any], *, idempotent: bool | None = None
) -> dict[str, Any]:
    """Call a DynamoDB operation; reads are idempotent by default.

    Raises:
        ConditionFailed: the write's condition does not hold.
        Transient: DynamoDB could not be reached, or refused the call.
    """
    response = client.request(
        "POST",
        "/",
        headers={
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        },
        body=json.dumps(payload).encode(),
        idempotent=operation in _DYNAMODB_READS if idempotent is None else idempotent,
    )
    if response.status == 200:
        answer: dict[str, Any] = json.loads(response.body)
        return answer
    kind = _error_type(response)
    reasons = _cancelled_for(response) if kind == _CANCELLED else []
    if _FALSE in reasons or kind == "ConditionalCheckFailedException":
        writes = [place for place, reason in enumerate(reasons) if reason == _FALSE]
        raise ConditionFailed(f"{operation}: the condition does not hold", writes)
    # the service's own message may hold ARNs: only its error's name is passed on
    raise Transient(f"dynamodb refused {operation} ({kind or f'status {response.status}'})")


def _is_throttle(response: Response) -> bool:
    """Whether nothing was done, and may be tried again: throttles, and transactions that met."""
    if response.status in (429, 503):
        return True
    if response.status != 400:
        return False
    kind = _error_type(response)
    if kind == _CANCELLED:
        codes = set(_cancelled_for(response))
        return _FALSE not in codes and bool(codes & _PASSING)
    return kind in _THROTTLES


def _cancelled_for(response: Response) -> list[str]:
    """Why a transaction was cancelled: a code for each of its writes."""
    reasons = json.loads(response.body).get("CancellationReasons") or []
    return [str(reason.get("Code")) for reason in reasons]


def _error_type(response: Response) -> str:
    """The error's name of a JSON protocol's answer, empty where there is none."""
    try:
        kind = json.loads(response.body).get("__type", "")
    except (ValueError, AttributeError):
        return ""
    return str(kind).rpartition("#")[2]


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


@lru_cache(maxsize=1)
def _tls() -> Any:
    import ssl

    return ssl.create_default_context()
