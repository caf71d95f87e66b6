"""The registry that publishing writes to: one contract, in memory and on AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kits.aws import moto_server
from tests.kits.registries import registry_on

from quintet.errors import NotFound
from quintet.manifest import Manifest, digest_of
from quintet.rollouts.store import Cause, fields_of
from quintet.rollouts.transitions import make_live, publish_first
from quintet_publish.registry import Claim, Listed, MemoryRegistry, Registry

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
    begin(registry, 2)
    assert registry.listed() == [Listed("small", 2, DIGEST, 7, "now", live=True)]


CAUSE = Cause(at=1_000.0, by="ann")


def begin(registry: Registry, version: int) -> None:
    """Make the first version live."""
    assert registry.routes.write(publish_first("small", version, CAUSE))


def published(registry: Registry, version: int) -> None:
    registry.claim("small", version, DIGEST)
    registry.seal(manifest("small", version), "seal", 7)


def test_a_version_is_withdrawn_once(registry: Registry) -> None:
    published(registry, 1)
    published(registry, 2)
    begin(registry, 2)
    assert registry.withdraw("small", 1, "later", 1) is True
    assert registry.withdraw("small", 1, "again", 1) is True
    assert registry.find("small", 1) == Claim(DIGEST, sealed=True, withdrawn=True)
    found = sorted(registry.listed("small"), key=lambda listed: listed.version)
    assert found == [
        Listed("small", 1, DIGEST, 7, "now", live=False, withdrawn="later"),
        Listed("small", 2, DIGEST, 7, "now", live=True),
    ]
    assert registry.listed("other") == []


def test_a_forgotten_version_leaves_a_note(registry: Registry) -> None:
    published(registry, 1)
    published(registry, 2)
    begin(registry, 1)
    registry.add("models/small/2/model.onnx", b"graph")
    registry.add("models/small/22/model.onnx", b"another's")
    registry.withdraw("small", 2, "later", 1)
    assert registry.remove("small", 2) == 1
    assert registry.remove("small", 2) == 0
    registry.forget("small", 2, "at last")
    assert registry.find("small", 2) == Claim(DIGEST, sealed=False, withdrawn=True)
    assert [found for found in registry.listed() if found.version == 2] == [
        Listed("small", 2, DIGEST, 7, "now", live=False, withdrawn="later", deleted="at last")
    ]
    assert registry.add("models/small/2/model.onnx", b"other") == b"other"
    assert registry.add("models/small/22/model.onnx", b"other") == b"another's"


def test_a_route_names_a_version_of_the_registry(registry: Registry) -> None:
    registry.claim("small", 3, DIGEST)
    assert not registry.routes.write(publish_first("small", 3, CAUSE))
    published(registry, 3)
    published(registry, 4)
    with pytest.raises(NotFound):
        registry.routes.read("small")
    assert registry.routes.write(publish_first("small", 3, CAUSE))
    route = registry.routes.read("small").route
    assert (fields_of(route), sorted(route.versions)) == ({"live": 3, "revision": 1}, [3, 4])


def test_a_withdrawal_and_a_route_exclude_each_other(registry: Registry) -> None:
    published(registry, 1)
    published(registry, 2)
    begin(registry, 1)
    stored = registry.routes.read("small")
    assert registry.routes.write(make_live(stored, 2, CAUSE))
    assert not registry.withdraw("small", 2, "later", stored.route.revision)
    assert registry.withdraw("small", 1, "later", 2)
    assert not registry.routes.write(make_live(stored, 1, CAUSE))
    route = registry.routes.read("small").route
    assert (fields_of(route), route.withdrawn) == ({"live": 2, "revision": 2}, {1: "later"})
