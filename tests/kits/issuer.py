"""An issuer of tokens: its keys, its documents, and tokens that it signs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

__all__ = ["AUDIENCE", "ISSUER", "claims", "issuing", "jwk", "pem", "private_key", "token"]

ISSUER, AUDIENCE = "https://issuer.example", "quintet"


@cache
def private_key(kid: str) -> Any:
    """The key of an id: of P-256 if it begins with `ec`, else RSA (`weak` has 1,024 bits)."""
    if kid.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 1_024 if kid.startswith("weak") else 2_048)


def jwk(kid: str, **given: Any) -> dict[str, Any]:
    """The public key of an id as JWKS have it."""
    public = private_key(kid).public_key()
    made: Any = ECAlgorithm if kid.startswith("ec") else RSAAlgorithm
    return {**made.to_jwk(public, as_dict=True), "kid": kid, "use": "sig", **given}


def pem(kid: str) -> bytes:
    """The public key as PEM, which an attacker would sign with by HS256."""
    public: bytes = (
        private_key(kid).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return public


def claims(**given: Any) -> dict[str, Any]:
    """Claims that are accepted; None leaves one out."""
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "iat": now - 60, "exp": now + 3_600}
    return {name: value for name, value in (made | given).items() if value is not None}


def token(kid: str = "rsa-1", header: dict[str, Any] | None = None, **given: Any) -> str:
    """A token, signed by the key of an id."""
    algorithm = "ES256" if kid.startswith("ec") else "RS256"
    return jwt.encode(
        claims(**given), private_key(kid), algorithm, headers={"kid": kid, **(header or {})}
    )


@contextmanager
def issuing(keys: list[dict[str, Any]]) -> Iterator[str]:
    """The address of an issuer with these keys, which may change meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            documents = {
                "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
                "/keys": {"keys": keys},
            }
            found = documents.get(self.path)
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
