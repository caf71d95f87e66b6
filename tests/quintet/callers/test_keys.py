"""Keys of callers: what is stored, who is let in, and that both stores behave alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
from tests.kits.aws import client, create_table, environ, moto_server

from quintet.aws.caller_keys import KeyTable
from quintet.aws.client import AwsClient
from quintet.callers.caller import Caller, Refused
from quintet.callers.keys import (
    CachedKeys,
    Key,
    MemoryKeys,
    UnknownKey,
    caller_of,
    make_key,
)
from quintet.errors import BadInput

NOW = 1_800_000_000.0
DAY = 86_400


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        create_table(found, "keys", "key")
        yield found


@pytest.fixture(params=["memory", "table"])
def keys(request: pytest.FixtureRequest, url: str) -> MemoryKeys | KeyTable:
    if request.param == "memory":
        return MemoryKeys()
    return KeyTable(AwsClient("dynamodb", environ=environ(url)), "keys")


def test_a_key_lets_its_caller_in_with_its_limits(keys: MemoryKeys | KeyTable) -> None:
    key, text = make_key("shop", NOW, models=("fraud", "churn", "fraud"), rate=5, expires=NOW + DAY)
    other, other_text = make_key("mobile-app", NOW + 1)
    keys.add(key)
    keys.add(other)
    caller = caller_of(text, keys, NOW)
    assert caller == Caller("shop", ("churn", "fraud"), f"quintet-{key.id}")
    assert caller_of(other_text, keys, NOW) == Caller("mobile-app")
    assert [one for one in keys.all() if one.id in (key.id, other.id)] == [key, other]


def test_only_the_hash_of_a_key_is_stored(url: str) -> None:
    keys = KeyTable(AwsClient("dynamodb", environ=environ(url)), "keys")
    key, text = make_key("shop", NOW)
    keys.add(key)
    stored = json.dumps(client("dynamodb", url).scan(TableName="keys")["Items"])
    assert key.id in stored
    assert text[20:] not in stored  # its secret
    assert key.digest not in repr(key)


def test_two_keys_are_never_alike() -> None:
    made = [make_key("shop", NOW) for _ in range(100)]
    assert len({text for _, text in made}) == len({key.digest for key, _ in made}) == 100
    assert {len(text) for _, text in made} == {63}


def test_a_key_that_expired_was_revoked_or_is_unknown_is_refused(
    keys: MemoryKeys | KeyTable,
) -> None:
    key, text = make_key("shop", NOW, expires=NOW + DAY)
    keys.add(key)
    _, unknown = make_key("shop", NOW)
    wrong = text[:20] + unknown[20:]  # the id of one, the secret of another
    with pytest.raises(Refused, match=f"the key {key.id} expired on 2027-01-16"):
        caller_of(text, keys, NOW + DAY)
    for sent in (unknown, wrong):
        with pytest.raises(Refused, match=r"^the key is not known$"):
            caller_of(sent, keys, NOW)
    revoked = keys.revoke(key.id, NOW + 5)
    assert revoked == dataclasses.replace(key, revoked=NOW + 5)
    assert keys.revoke(key.id, NOW + 9) == revoked  # the first time counts
    with pytest.raises(Refused, match="was revoked on 2027-01-15"):
        caller_of(text, keys, NOW)
    with pytest.raises(UnknownKey):
        keys.revoke("a" * 16, NOW)


@pytest.mark.parametrize("text", ["", "qk_", "qk_abc_def", "x" * 63, 'qk_"' + "a" * 59, "\n"])
def test_what_is_no_key_is_refused_without_a_look_up(text: str) -> None:
    class Broken:
        def get(self, id: str) -> Key | None:
            raise AssertionError(id)

    with pytest.raises(Refused, match="expected a key of this API"):
        caller_of(text, Broken(), NOW)


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("Shop", {}, "name"),
        ("anonymous", {}, "name"),
        ("a b", {}, "name"),
        ("x" * 64, {}, "name"),
        ("shop", {"rate": 0}, "rate"),
        ("shop", {"rate": 10_001}, "rate"),
        ("shop", {"expires": NOW}, "expires"),
    ],
)
def test_a_key_is_made_within_bounds(name: str, given: dict[str, int], field: str) -> None:
    with pytest.raises(BadInput, match=f"{field}: expected"):
        make_key(name, NOW, **given)  # type: ignore[arg-type]


def test_a_known_key_is_kept_for_seconds_and_an_unknown_one_never() -> None:
    stored, now = MemoryKeys(), [0.0]
    cached = CachedKeys(stored, lambda: now[0], seconds=10, most=2)
    key, text = make_key("shop", NOW)
    assert cached.get(key.id) is None
    stored.add(key)
    assert cached.get(key.id) == key
    stored.revoke(key.id, NOW)
    now[0] = 9.9
    assert caller_of(text, cached, NOW).name == "shop"
    now[0] = 10.0
    with pytest.raises(Refused, match="revoked"):
        caller_of(text, cached, NOW)
    for other, _ in (make_key("shop", NOW) for _ in range(5)):
        stored.add(other)
        assert cached.get(other.id) == other
    assert len(cached._kept) <= 2
