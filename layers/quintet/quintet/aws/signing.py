"""AWS Signature Version 4 as pure functions.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["AwsRequest", "Credentials", "presign", "sign"]

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """An access key, with the session token of temporary credentials."""

    access_key: str
    secret_key: str
    token: str | None = None


class AwsRequest(NamedTuple):
    """A request to sign: `path` and `query` are percent-encoded, the query is sorted."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """The path with the query."""
        return f"{self.path}?{self.query}" if self.query else self.path


def sign(
    request: AwsRequest, service: str, region: str, credentials: Credentials, at: str
) -> dict[str, str]:
    """Return the headers to send: the request's own (including `host`) and the signature.

    `at` is the time, for example 20261123T221500Z.
    """
    payload = hashlib.sha256(request.body).hexdigest()
    signed = {name.lower(): value for name, value in request.headers.items()}
    signed["x-amz-date"] = at
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    if service == "s3":
        signed["x-amz-content-sha256"] = payload
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    names = ";".join(sorted(signed))
    canonical = _canonical(request, service, signed, payload)
    signature = _signature(canonical, scope, credentials, at)
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def presign(
    request: AwsRequest,
    service: str,
    region: str,
    credentials: Credentials,
    at: str,
    *,
    seconds: int,
) -> str:
    """Return the request's target with a signature in its query, valid for `seconds`.

    The request must have the header `host`; its body is not signed.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    fields = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": at,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.token:
        fields["X-Amz-Security-Token"] = credentials.token
    pairs = [f"{name}={quote(value, safe='~')}" for name, value in fields.items()]
    query = "&".join(sorted([*filter(None, request.query.split("&")), *pairs]))
    signed = {"host": request.headers["host"]}
    whole = request._replace(query=query)
    canonical = _canonical(whole, service, signed, "UNSIGNED-PAYLOAD")
    signature = _signature(canonical, scope, credentials, at)
    return f"{whole.target}&X-Amz-Signature={signature}"


def _canonical(request: AwsRequest, service: str, signed: dict[str, str], payload: str) -> str:
    """The canonical request to sign, given the signed headers and the hash of the body."""
    return "\n".join(
        (
            request.method,
            # all services except S3 encode the path a second time
            request.path if service == "s3" else quote(request.path, safe="/~"),
            request.query,
            *(f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)),
            "",
            ";".join(sorted(signed)),
            payload,
        )
    )


def _signature(canonical: str, scope: str, credentials: Credentials, at: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{at}\n{scope}\n{digest}"
    day, region, service, _ = scope.split("/")
    key = _signing_key(credentials.secret_key, day, region, service)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
