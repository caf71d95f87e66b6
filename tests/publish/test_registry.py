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


def published(registry: Registry, version: int) -> None:
    registry.claim("small", version, DIGEST)
    registry.seal(manifest("small", version), "seal", 7)


def test_a_version_is_withdrawn_once_and_not_while_it_is_live(registry: Registry) -> None:
    published(registry, 1)
    published(registry, 2)
    registry.start("small", 2)
    assert registry.withdraw("small", 2, "later") is False
    assert registry.withdraw("small", 1, "later") is True
    assert registry.withdraw("small", 1, "again") is True
    assert registry.find("small", 1) == Claim(DIGEST, sealed=True, withdrawn=True)
    found = sorted(registry.listed("small"), key=lambda listed: listed.version)
    assert found == [
        Listed("small", 1, DIGEST, 7, "now", live=False, withdrawn="later"),
        Listed("small", 2, DIGEST, 7, "now", live=True),
    ]
    assert registry.listed("other") == []


def test_a_withdrawn_version_is_not_made_live(registry: Registry) -> None:
    published(registry, 1)
    published(registry, 2)
    route = registry.start("small", 1)
    registry.withdraw("small", 2, "later")
    assert registry.replace("small", route, 2) is False
    assert registry.read("small") == route


def test_a_forgotten_version_leaves_a_note(registry: Registry) -> None:
    published(registry, 1)
    published(registry, 2)
    registry.start("small", 1)
    registry.add("models/small/2/model.onnx", b"graph")
    registry.add("models/small/22/model.onnx", b"another's")
    registry.withdraw("small", 2, "later")
    assert registry.remove("small", 2) == 1
    assert registry.remove("small", 2) == 0
    registry.forget("small", 2, "at last")
    assert registry.find("small", 2) == Claim(DIGEST, sealed=False, withdrawn=True)
    assert [found for found in registry.listed() if found.version == 2] == [
        Listed("small", 2, DIGEST, 7, "now", live=False, withdrawn="later", deleted="at last")
    ]
    assert registry.add("models/small/2/model.onnx", b"other") == b"other"
    assert registry.add("models/small/22/model.onnx", b"other") == b"another's"


def test_a_route_starts_once(registry: Registry) -> None:
    assert registry.read("small") is None
    assert registry.start("small", 3) == Route(live=3, revision=1)
    assert registry.start("small", 4) == Route(live=3, revision=1)
    assert registry.read("small") == Route(live=3, revision=1)


def test_a_route_is_replaced_only_as_it_was_read(registry: Registry) -> None:
    published(registry, 2)
    published(registry, 3)
    first = registry.start("small", 1)
    assert registry.replace("small", first, 2)
    assert registry.read("small") == Route(live=2, revision=2)
    assert not registry.replace("small", first, 3)
    assert registry.read("small") == Route(live=2, revision=2)
