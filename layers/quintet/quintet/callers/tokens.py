"""Tokens of an issuer (JWT), verified as RFC 8725 advises: pinned algorithms, issuer, audience.

https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import jwt

from quintet.callers.caller import RESERVED, Caller, Refused

__all__ = ["ALGORITHMS", "SigningKeys", "Tokens"]

ALGORITHMS = ("RS256", "ES256")
#: seconds by which the issuer's clock may differ from ours
LEEWAY = 30
_REQUIRED = ["exp", "iss", "aud", "sub"]
_SUBJECT = re.compile(r"[!-~]{1,256}")  # it stands in log lines and owns jobs
_MODEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
#: the first class that fits gives the reason; texts of the library may quote the token
_REASONS: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet: nbf or iat lies in the future"),
    (jwt.InvalidAudienceError, "the token is for another audience (aud)"),
    (jwt.InvalidIssuerError, "the token is of another issuer (iss)"),
    (jwt.MissingRequiredClaimError, f"the token lacks one of the claims {', '.join(_REQUIRED)}"),
    (jwt.InvalidSignatureError, "the signature of the token does not fit"),
)


class SigningKeys(Protocol):
    """The public keys of an issuer."""

    def get(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of an id for an algorithm; None if the issuer has none.

        Raises:
            Transient: the issuer's keys could not be read.
        """


class Tokens:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, issuer: str, audience: str, keys: SigningKeys) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    def caller_of(self, text: str) -> Caller:
        """Return the caller (`sub`) of a token.

        The claim `models`, a list of names, limits which models it may ask.

        Raises:
            Refused: the token is not valid.
            Transient: the issuer's keys could not be read.
        """
        try:
            header = jwt.get_unverified_header(text)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise Refused(f"expected a token signed by {' or '.join(ALGORITHMS)} (alg)")
            kid = header.get("kid")
            key = self._keys.get(kid, algorithm) if isinstance(kid, str) else None
            if key is None:
                raise Refused("the issuer has no key of the id (kid) of the token")
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidTokenError as error:
            reasons = (text for kind, text in _REASONS if isinstance(error, kind))
            raise Refused(next(reasons, "expected a JSON Web Token, got something else")) from error
        return _caller(claims)


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject, models = claims["sub"], claims.get("models", [])
    if not _SUBJECT.fullmatch(subject) or subject == RESERVED:
        raise Refused("expected 1 to 256 printable characters in the claim sub")
    named = isinstance(models, list) and all(
        isinstance(model, str) and _MODEL.fullmatch(model) for model in models
    )
    if not named or ("models" in claims and not models):
        raise Refused("expected a list of names of models in the claim models")
    return Caller(subject, tuple(models))
