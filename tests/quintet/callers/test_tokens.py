"""Tokens: who is let in, and the attacks of RFC 8725 that are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from tests.kits.issuer import AUDIENCE, ISSUER, claims, jwk, pem, private_key, token

from quintet.callers.caller import Caller, Refused
from quintet.callers.issuer_keys import IssuerKeys
from quintet.callers.tokens import LEEWAY, Tokens
from quintet.errors import Transient

HOUR = 3_600


def tokens(*kids: str) -> Tokens:
    document = {"keys": [jwk(kid) for kid in kids or ("rsa-1", "ec-1")]}
    return Tokens(ISSUER, AUDIENCE, IssuerKeys(lambda: document, time.monotonic))


def refusal(text: str) -> str:
    with pytest.raises(Refused) as refused:
        tokens().caller_of(text)
    reason = str(refused.value)
    assert json.loads(f'{{"message":"{reason}"}}') == {
        "message": reason
    }  # as API Gateway writes it
    return reason


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1"])
def test_a_token_lets_its_subject_in(kid: str) -> None:
    assert tokens().caller_of(token(kid)) == Caller("shop")
    limited = token(kid, models=["fraud", "churn"], aud=["other", AUDIENCE])
    assert tokens().caller_of(limited) == Caller("shop", ("fraud", "churn"))


def test_the_clocks_may_differ_by_half_a_minute() -> None:
    now = time.time()
    assert tokens().caller_of(token(exp=now - LEEWAY / 2, nbf=now - HOUR)).name == "shop"
    assert tokens().caller_of(token(nbf=now + LEEWAY / 2)).name == "shop"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"exp": time.time() - HOUR}, "has expired"),
        ({"nbf": time.time() + HOUR}, "not valid yet"),
        ({"iat": time.time() + HOUR}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "lacks one of the claims"),
        ({"iss": "https://issuer.example.evil"}, "another issuer"),
        ({"iss": None}, "lacks one of the claims"),
        ({"exp": None}, "lacks one of the claims"),
        ({"sub": None}, "lacks one of the claims"),
        ({"sub": ""}, "the claim sub"),
        ({"sub": "anonymous"}, "the claim sub"),
        ({"sub": "a\nb"}, "the claim sub"),
        ({"sub": "x" * 257}, "the claim sub"),
        ({"models": "fraud"}, "the claim models"),
        ({"models": []}, "the claim models"),
        ({"models": ["fraud,churn"]}, "the claim models"),
        ({"models": [7]}, "the claim models"),
    ],
)
def test_claims_that_do_not_hold_are_refused(given: dict[str, Any], reason: str) -> None:
    assert reason in refusal(token(**given))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(header: dict[str, Any]) -> str:
    return f"{encoded({'typ': 'JWT', 'kid': 'rsa-1', **header})}.{encoded(claims())}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5])
def test_a_token_that_nobody_signed_is_refused(algorithm: Any) -> None:
    assert "RS256 or ES256" in refusal(unsigned({"alg": algorithm}))
    signed = token()
    assert "does not fit" in refusal(signed[: signed.rindex(".") + 1])


def test_the_public_key_is_no_secret_to_sign_with() -> None:
    head = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa-1'})}.{encoded(claims())}"
    for secret in (pem("rsa-1"), json.dumps(jwk("rsa-1")).encode()):
        digest = hmac.digest(secret, head.encode(), hashlib.sha256)
        forged = f"{head}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
        assert "RS256 or ES256" in refusal(forged)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_another_algorithm_of_the_same_key_is_refused(algorithm: str) -> None:
    other = jwt.encode(claims(), private_key("rsa-1"), algorithm, headers={"kid": "rsa-1"})
    assert "RS256 or ES256" in refusal(other)


def test_a_key_serves_its_own_algorithm_alone() -> None:
    assert "no key of the id" in refusal(token("ec-1", header={"kid": "rsa-1"}))
    assert "no key of the id" in refusal(token("rsa-1", header={"kid": "ec-1"}))


@pytest.mark.parametrize("kid", ["rsa-2", "../rsa-1", "", "x" * 9_000])
def test_an_unknown_key_is_refused(kid: str) -> None:
    assert "no key of the id" in refusal(unsigned({"alg": "RS256", "kid": kid}))
    assert "no key of the id" in refusal(token("rsa-2"))


@pytest.mark.parametrize("kid", [7, ["rsa-1"], {}])
def test_an_id_that_is_no_text_is_refused(kid: object) -> None:
    assert "JSON Web Token" in refusal(unsigned({"alg": "RS256", "kid": kid}))


def test_a_key_in_the_token_is_not_believed() -> None:
    stranger = jwk("rsa-9")
    signed = token("rsa-9", header={"kid": "rsa-1", "jwk": stranger, "jku": "https://evil.example"})
    assert "does not fit" in refusal(signed)


def test_a_token_that_was_changed_is_refused() -> None:
    head, _, signature = token().split(".")
    assert "does not fit" in refusal(f"{head}.{encoded(claims(sub='admin'))}.{signature}")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "....", "é.é.é", "null.null.null"])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert "JSON Web Token" in refusal(text)


def test_an_unknown_critical_header_is_refused() -> None:
    assert refusal(token(header={"crit": ["exp2"], "exp2": 1}))


def test_an_issuer_that_cannot_be_read_is_no_refusal() -> None:
    def away() -> dict[str, Any]:
        raise Transient("away")

    verifier = Tokens(ISSUER, AUDIENCE, IssuerKeys(away, time.monotonic))
    with pytest.raises(Transient):
        verifier.caller_of(token())
