"""The public keys of an issuer (JWKS, RFC 7517), cached and read again as they rotate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jwt

from quintet.callers.tokens import ALGORITHMS
from quintet.errors import Transient

__all__ = ["IssuerKeys", "read_keys"]

#: seconds after which keys are read again, and between two attempts
FRESH, AGAIN = 600.0, 10.0
#: seconds for which known keys are used while the issuer cannot be reached
STALE = 86_400.0
MIN_RSA_BITS = 2_048
_KINDS = {"RS256": {"kty": "RSA"}, "ES256": {"kty": "EC", "crv": "P-256"}}


class IssuerKeys:
    """Keys by id and algorithm; `fetch` reads the issuer's document, or raises Transient."""

    def __init__(self, fetch: Callable[[], Mapping[str, Any]], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._read = self._tried = float("-inf")

    def get(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """See `SigningKeys.get`; an unknown id may be new, so it reads the keys again."""
        age = self._clock() - self._read
        found = self._keys.get((kid, algorithm))
        if found is None or age > FRESH:
            self._refresh(age)
            found = self._keys.get((kid, algorithm))
        return found

    def _refresh(self, age: float) -> None:
        """Read the keys, at most every `AGAIN` seconds, so that made-up ids cost no requests."""
        now = self._clock()
        if now - self._tried >= AGAIN:
            self._tried = now
            try:
                self._keys, self._read = read_keys(self._fetch()), now
                return
            except Transient:
                if age > STALE:
                    raise
        if age > STALE:
            raise Transient("the issuer's keys could not be read")


def read_keys(document: Mapping[str, Any]) -> dict[tuple[str, str], jwt.PyJWK]:
    """Return the keys of a document for the pinned algorithms; others are left out.

    Raises:
        Transient: it is no set of keys.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise Transient("the issuer's keys are no list")
    found = {}
    for one in listed:
        for algorithm in ALGORITHMS:
            if _fits(one, algorithm):
                try:
                    key = jwt.PyJWK(one, algorithm=algorithm)
                except jwt.PyJWTError:
                    continue
                if algorithm != "RS256" or key.key.key_size >= MIN_RSA_BITS:
                    found[one["kid"], algorithm] = key
    return found


def _fits(key: Any, algorithm: str) -> bool:
    """Whether a key is one to verify signatures of an algorithm by."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return False
    kind = _KINDS[algorithm]
    of_kind = {name: key.get(name) for name in kind} == kind
    return of_kind and key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
