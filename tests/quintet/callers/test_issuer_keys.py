"""An issuer's keys: cached, rotated, away, and read over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kits.issuer import issuing, jwk

from quintet.aws.issuers import issuer_document
from quintet.callers.issuer_keys import AGAIN, FRESH, STALE, IssuerKeys, read_keys
from quintet.errors import Transient


class Issuer:
    """An issuer by the clock: what it answers, how often it was asked."""

    def __init__(self, *kids: str) -> None:
        self.kids, self.asked, self.away, self.now = list(kids), 0, False, 0.0
        self.keys = IssuerKeys(self.fetch, lambda: self.now)

    def fetch(self) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise Transient("away")
        return {"keys": [jwk(kid) for kid in self.kids]}


def test_keys_are_read_once_and_again_when_they_are_old() -> None:
    issuer = Issuer("rsa-1", "ec-1")
    for _ in range(3):
        assert issuer.keys.get("rsa-1", "RS256") is not None
        assert issuer.keys.get("ec-1", "ES256") is not None
    assert issuer.asked == 1
    issuer.now = FRESH + 1
    assert issuer.keys.get("rsa-1", "RS256") is not None
    assert issuer.asked == 2


def test_a_new_key_is_found_and_an_old_one_is_gone() -> None:
    issuer = Issuer("rsa-1")
    assert issuer.keys.get("rsa-1", "RS256") is not None
    issuer.kids, issuer.now = ["rsa-2"], AGAIN
    assert issuer.keys.get("rsa-2", "RS256") is not None
    assert issuer.keys.get("rsa-1", "RS256") is None


def test_made_up_ids_do_not_ask_the_issuer_each_time() -> None:
    issuer = Issuer("rsa-1")
    for n in range(100):
        issuer.now += AGAIN / 20
        assert issuer.keys.get(f"made-up-{n}", "RS256") is None
    assert issuer.asked <= 100 / 20 + 1


def test_known_keys_outlast_an_issuer_that_is_away_for_a_day() -> None:
    issuer = Issuer("rsa-1")
    assert issuer.keys.get("rsa-1", "RS256") is not None
    issuer.away = True
    for issuer.now in (FRESH + 1, STALE):
        assert issuer.keys.get("rsa-1", "RS256") is not None
        assert issuer.keys.get("rsa-2", "RS256") is None
    issuer.now = STALE + 1
    with pytest.raises(Transient):
        issuer.keys.get("rsa-1", "RS256")
    issuer.away, issuer.now = False, STALE + 2 + AGAIN
    assert issuer.keys.get("rsa-1", "RS256") is not None


def test_without_keys_each_request_fails_without_asking_again_at_once() -> None:
    issuer = Issuer("rsa-1")
    issuer.away = True
    for _ in range(5):
        with pytest.raises(Transient):
            issuer.keys.get("rsa-1", "RS256")
    assert issuer.asked == 1


def test_only_keys_that_verify_by_the_pinned_algorithms_are_taken() -> None:
    listed = [
        jwk("rsa-1"),
        jwk("ec-1"),
        jwk("rsa-2", use="enc"),
        jwk("rsa-3", alg="RS512"),
        jwk("weak-1"),
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {**jwk("ec-2"), "crv": "P-384"},
        {**jwk("ec-3"), "x": "AAAA"},
        {name: value for name, value in jwk("rsa-4").items() if name != "kid"},
        {"kty": "RSA", "kid": "empty"},
        "not a key",
    ]
    assert set(read_keys({"keys": listed})) == {("rsa-1", "RS256"), ("ec-1", "ES256")}


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"error": "x"}])
def test_what_is_no_set_of_keys_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(Transient):
        read_keys(document)


def test_keys_are_found_by_discovery_or_by_their_address() -> None:
    keys = [jwk("rsa-1")]
    with issuing(keys) as url:
        assert issuer_document(url, "") == {"keys": keys}
        assert issuer_document("https://issuer.example", f"{url}/keys") == {"keys": keys}
        with pytest.raises(Transient, match="not its own"):
            issuer_document(f"{url}/", "")  # its configuration names another issuer
        with pytest.raises(Transient, match="answered 404"):
            issuer_document(url, f"{url}/elsewhere")
    with pytest.raises(Transient, match="could not be read"):
        issuer_document(url, "")


@pytest.mark.parametrize("address", ["http://issuer.example/keys", "file:///etc/passwd", "keys"])
def test_keys_are_read_by_https(address: str) -> None:
    with pytest.raises(Transient, match="https"):
        issuer_document("https://issuer.example", address)
