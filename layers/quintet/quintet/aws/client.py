"""A lean client for AWS's HTTP APIs: Signature Version 4 over kept-alive http.client connections.

boto3 and its S3 client add over 300 ms to a cold start before the first byte is sent; this
client costs no more than http.client itself.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from quintet.aws.addresses import Address, locate
from quintet.aws.connections import Connections
from quintet.aws.responses import AwsResponse, may_be_sent_again
from quintet.aws.signing import AwsRequest, Credentials, presign, sign
from quintet.errors import Transient

__all__ = ["ATTEMPTS", "AwsClient"]

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
ATTEMPTS = 3
BACKOFF_SECONDS = 0.05  # the ceiling of the first wait; it doubles, with full jitter

_RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})


def _encode_query(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


class AwsClient:
    """Signed requests to one AWS service, safe to share between threads.

    The environment (credentials, region, endpoint) and `credentials`, if given, are read again
    for every request.
    """

    def __init__(
        self,
        service: str,
        *,
        environ: Mapping[str, str] = os.environ,
        credentials: Callable[[], Credentials] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        attempts: int = ATTEMPTS,
        backoff_seconds: float = BACKOFF_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self._environ = environ
        self._given = credentials
        self._attempts = attempts
        self._backoff_seconds = backoff_seconds
        self._sleep = sleep
        self._connections = Connections(connect_seconds, read_seconds)

    @property
    def region(self) -> str:
        """The region to which requests are sent."""
        environ = self._environ
        return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        idempotent: bool | None = None,
        region: str | None = None,
    ) -> AwsResponse:
        """Send a request and return the response if its status is below 500.

        `path` is not encoded; for S3 it is /bucket/key. Idempotent requests (by default GET
        and HEAD) are retried after a network failure, a 5xx or a throttle; other requests
        only after a throttle. `region` defaults to the client's own.

        Raises:
            Transient: no response, a 5xx or a throttle after all attempts.
        """
        again = method in ("GET", "HEAD") if idempotent is None else idempotent
        region = region or self.region
        address, path = locate(self.service, region, path, self._environ)
        encoded = quote(address.prefix + path, safe="/~")
        fields = {**(headers or {}), "host": address.authority}
        request = AwsRequest(method, encoded, _encode_query(query or {}), fields, body)
        failure = ""
        for attempt in range(self._attempts):
            if attempt:
                import random  # not at a cold start, which waits for nothing

                self._sleep(random.uniform(0, self._backoff_seconds * 2 ** (attempt - 1)))
            try:
                response = self._send(request, address, region, again)
            except (OSError, http.client.HTTPException) as error:
                failure = type(error).__name__
                if not again:
                    break
                continue
            throttled = may_be_sent_again(response)
            if response.status < 500 and not throttled:
                return response
            failure = f"status {response.status}"
            if not throttled and not (again and response.status in _RETRIED_STATUS):
                break
        raise Transient(f"{self.service} did not answer ({failure})")

    def call(
        self,
        target: str,
        payload: Mapping[str, Any],
        *,
        version: str = "1.0",
        idempotent: bool = True,
    ) -> AwsResponse:
        """Call an operation of a JSON protocol; `target` is for example DynamoDB_20120810.GetItem.

        Raises:
            Transient: see `request`.
        """
        headers = {"content-type": f"application/x-amz-json-{version}", "x-amz-target": target}
        content = json.dumps(payload).encode()
        return self.request("POST", "/", headers=headers, body=content, idempotent=idempotent)

    def presigned(self, path: str, seconds: int) -> str:
        """Return a URL that reads `path` without credentials for `seconds`.

        It expires with the credentials that signed it, which are temporary in Lambda.

        Raises:
            Transient: no credentials are available.
        """
        region, credentials = self.region, self._credentials()
        address, path = locate(self.service, region, path, self._environ)
        encoded = quote(address.prefix + path, safe="/~")
        request = AwsRequest("GET", encoded, "", {"host": address.authority}, b"")
        target = presign(request, self.service, region, credentials, _now(), seconds=seconds)
        return f"{address.scheme}://{address.authority}{target}"

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    def _send(self, request: AwsRequest, address: Address, region: str, again: bool) -> AwsResponse:
        headers = sign(request, self.service, region, self._credentials(), _now())
        signed = request._replace(headers=headers)
        return self._connections.send(signed, address, idempotent=again)

    def _credentials(self) -> Credentials:
        if self._given is not None:
            return self._given()
        environ = self._environ
        try:
            return Credentials(
                environ["AWS_ACCESS_KEY_ID"],
                environ["AWS_SECRET_ACCESS_KEY"],
                environ.get("AWS_SESSION_TOKEN"),
            )
        except KeyError as missing:
            raise Transient(f"no credentials: {missing.args[0]} is not set") from None


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
