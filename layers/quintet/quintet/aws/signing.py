"""AWS Signature Version 4, pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["Credentials", "Request", "sign"]


class Credentials(NamedTuple):
    """An access key, with the session token of temporary credentials."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: `path` and `query` are percent-encoded, the query sorted."""

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
    request: Request, service: str, region: str, credentials: Credentials, at: str
) -> dict[str, str]:
    """The headers to send: those of the request (`host` among them) and the signature.

    `at` is the time, like 20261123T221500Z.
    """
    payload = hashlib.sha256(request.body).hexdigest()
    signed = {name.lower(): value for name, value in request.headers.items()}
    signed["x-amz-date"] = at
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    if service == "s3":
        signed["x-amz-content-sha256"] = payload
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        (
            request.method,
            # all services but S3 encode the path once more
            request.path if service == "s3" else quote(request.path, safe="/~"),
            request.query,
            *(f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)),
            "",
            names,
            payload,
        )
    )
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_key, at[:8], region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
