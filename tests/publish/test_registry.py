"""The registry that publishing writes to: one contract, in memory and on AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kits.aws import moto_server
from tests.kits.registries import registry_on

from quintet.manifest import Manifest, digest_of
from quintet_publish.registry import Claim, Listed, MemoryRegistry, Registry, Route

DIGEST = digest_of({})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(params=["memory", "aws"])
def registry(request: pytest.FixtureRequest) -> Registry:
    if request.param == "memory":
        return MemoryRegistry()
    return registry_on(request.getfixturevalue("url")).written


def manifest(model: str, version: int) -> Manifest:
    return Manifest(model, version, DIGEST, "now", sources={}, files={}, contract={}, golden={})


def test_the_first_content_of_a_key_stays(registry: Registry) -> None:
    assert registry.add("a", b"first") == b"first"
    assert registry.add("a", b"second") == b"first"
    assert registry.add("b", b"second") == b"second"


def test_the_first_digest_of_a_version_stays(registry: Registry) -> None:
    assert registry.find("small", 1) is None
    assert registry.claim("small", 1, "first") == Claim("first", sealed=False)
    assert registry.claim("small", 1, "second") == Claim("first", sealed=False)
    assert registry.find("small", 1) == Claim("first", sealed=False)
    assert registry.find("small", 2) is None


def test_a_version_is_listed_once_it_is_sealed(registry: Registry) -> None:
    registry.claim("small", 1, DIGEST)
    registry.claim("small", 2, DIGEST)
    assert registry.listed() == []
    registry.seal(manifest("small", 2), "seal", 7)
    assert registry.listed() == [Listed("small", 2, DIGEST, 7, "now", live=False)]
    assert registry.claim("small", 2, "other") == Claim(DIGEST, sealed=True)
    registry.start("small", 2)
    assert registry.listed() == [Listed("small", 2, DIGEST, 7, "now", live=True)]


def test_a_route_starts_once(registry: Registry) -> None:
    assert registry.read("small") is None
    assert registry.start("small", 3) == Route(live=3, revision=1)
    assert registry.start("small", 4) == Route(live=3, revision=1)
    assert registry.read("small") == Route(live=3, revision=1)


def test_a_route_is_replaced_only_as_it_was_read(registry: Registry) -> None:
    first = registry.start("small", 1)
    assert registry.replace("small", first, 2)
    assert registry.read("small") == Route(live=2, revision=2)
    assert not registry.replace("small", first, 3)
    assert registry.read("small") == Route(live=2, revision=2)
