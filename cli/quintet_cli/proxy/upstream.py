"""The API of a stage, as the proxy calls it: signed by the user's credentials."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path
from botocore.utils import normalize_url_path
from yarl import URL

from quintet.aws.signing import AwsRequest, Credentials, sign
from quintet_cli.proxy.messages import Answer, Asked, by_name, failed

__all__ = ["SECONDS", "Signer", "Upstream"]

#: API Gateway ends a request after 29 s
SECONDS = 35.0
CONNECT_SECONDS = 5.0
#: connections at once: as many requests may be under way
CONNECTIONS = 500
#: an unused connection is closed before API Gateway or its load balancer does it
IDLE_SECONDS = 15.0

#: of one connection (RFC 9110, 7.6.1), or of the signature, which is made anew
_NOT_SENT = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
    }
)
#: what aiohttp would add
_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Signer:
    """Signs requests to API Gateway (Signature Version 4, service execute-api).

    `credentials` are botocore's, which renew those that expire; its signing takes five times as
    long as the functions' own.
    """

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The headers that sign a request: the date, the signature, a session's token, the host.

        Raises:
            BotoCoreError, ClientError: credentials that expire cannot be renewed.
        """
        expires = getattr(self._credentials, "refresh_needed", None)
        if expires is not None and expires():  # renewing waits for the network
            await asyncio.to_thread(self._credentials.get_frozen_credentials)
        frozen = self._credentials.get_frozen_credentials()
        found = Credentials(frozen.access_key, frozen.secret_key, frozen.token)
        place = urlsplit(url)
        path, query = normalize_url_path(place.path), _sorted(place.query)
        request = AwsRequest(method, path, query, {"host": place.netloc}, body)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return sign(request, "execute-api", self._region, found, now)


def _sorted(query: str) -> str:
    """A query as it is signed: by name, then value, each with its equals sign."""
    pairs = sorted(pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, _, value in pairs)


class Upstream:
    """Sends requests to the API at `url`, which ends in its stage's name on AWS.

    `calls` counts those that were sent.
    """

    def __init__(self, url: str, signer: Signer) -> None:
        self.url = url.rstrip("/")
        self.calls = 0
        self._signer = signer
        self._proxy = _proxy(self.url)

    async def __aenter__(self) -> Upstream:
        trusted = ssl.create_default_context(cafile=_authorities())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=trusted
            ),
            timeout=aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_ADDED,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(self, asked: Asked) -> Answer:
        """The API's answer, whatever it is; 502 if there is none, 504 if it takes too long."""
        url = self.url + asked.path
        try:
            signed = await self._signer.headers(asked.method, url, asked.body)
        except (BotoCoreError, ClientError) as error:
            return failed(502, f"the AWS credentials cannot be used: {error}")
        headers = _passed_on(asked.headers) | signed
        self.calls += 1
        try:
            async with self._session.request(
                asked.method,
                URL(url, encoded=True),
                headers=headers,
                data=asked.body or None,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                body = await response.read()
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                return failed(502, f"{self.url} cannot be reached within {CONNECT_SECONDS:g} s")
            return failed(504, f"{self.url} did not answer within {SECONDS:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return failed(502, f"{self.url} cannot be reached: {error}")
        return Answer(response.status, body, _passed_on(by_name(response.headers.items())))


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without those of one connection and of a signature."""
    return {name: value for name, value in headers.items() if name not in _NOT_SENT}


def _authorities() -> str | None:
    """The file of certificates that AWS's SDK trusts, so that both reach the same addresses."""
    return os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address, if any."""
    address = urlsplit(url)
    if urllib.request.proxy_bypass(address.hostname or ""):
        return None
    return urllib.request.getproxies().get(address.scheme)
