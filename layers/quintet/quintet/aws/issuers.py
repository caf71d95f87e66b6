"""Reads the public keys of an issuer of tokens over HTTPS."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from quintet.errors import Transient

__all__ = ["issuer_document"]

SECONDS = 2.0
MAX_BYTES = 1 << 18
#: OpenID Connect Discovery 1.0, section 4
_DISCOVERY = "/.well-known/openid-configuration"


def issuer_document(issuer: str, keys_url: str) -> Mapping[str, Any]:
    """Return the document with an issuer's keys, which discovery finds if `keys_url` is empty.

    Raises:
        Transient: it could not be read.
    """
    if not keys_url:
        found = _document(issuer.rstrip("/") + _DISCOVERY)
        if found.get("issuer") != issuer or not isinstance(found.get("jwks_uri"), str):
            raise Transient("the issuer's configuration is not its own, or names no keys")
        keys_url = found["jwks_uri"]
    return _document(keys_url)


def _document(url: str) -> dict[str, Any]:
    """Read a JSON object; no redirect is followed."""
    parts = urlsplit(url)
    host, target = parts.hostname or "", parts.path or "/"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        tls = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=SECONDS, context=tls)
    elif parts.scheme == "http" and host in ("127.0.0.1", "localhost"):
        connection = http.client.HTTPConnection(host, parts.port, timeout=SECONDS)
    else:
        raise Transient("the issuer's keys are not at an https address")
    try:
        connection.request("GET", f"{target}?{parts.query}" if parts.query else target)
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES + 1)
        if answer.status != 200 or len(body) > MAX_BYTES:
            raise Transient(f"the issuer answered {answer.status} with {len(body)} bytes")
        found = json.loads(body)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Transient(f"the issuer could not be read ({type(error).__name__})") from error
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise Transient("the issuer answered no JSON object")
    return found
