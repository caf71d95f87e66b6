"""The registry as functions read it, against what publishing wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kits.aws import moto_server
from tests.kits.packages import graph, package
from tests.kits.registries import RegistryServer, registry_on, release_of

from quintet.errors import NotFound, Transient
from quintet.serving.routes import Route, Version


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def server(url: str) -> RegistryServer:
    return registry_on(url)


def test_an_empty_registry_knows_no_model(server: RegistryServer) -> None:
    assert server.registry.models() == {}
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'small' is not found$"):
        server.registry.route("small")


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "é", "x" * 3000, "a\x00"])
def test_what_is_no_name_is_not_looked_up(url: str, name: str) -> None:
    with pytest.raises(NotFound, match=r"^Request for unknown model"):
        RegistryServer(url, "none", "no-such-table").registry.route(name)


def test_a_route_carries_the_versions(server: RegistryServer, tmp_path: Path) -> None:
    first = release_of(package(tmp_path / "1", version=1))
    tenth = release_of(package(tmp_path / "10", version=10, factor=3.0))
    server.publisher.publish(first, "2026-11-23T22:00:00+00:00")
    server.publisher.publish(tenth, "2026-11-23T23:00:00+00:00")
    route = server.registry.route("small")
    seals = {number: version.seal for number, version in route.versions.items()}
    size = len(graph())
    assert route == Route(
        model="small",
        live=1,
        revision=1,
        versions={
            1: Version(1, first.digest, seals[1], size, "2026-11-23T22:00:00+00:00"),
            10: Version(10, tenth.digest, seals[10], size, "2026-11-23T23:00:00+00:00"),
        },
    )
    assert server.registry.versions("small") == [1, 10]


def test_lists_models_with_a_route(server: RegistryServer, tmp_path: Path) -> None:
    for name in ("zebra", "ant"):
        server.publisher.publish(release_of(package(tmp_path / name, name=name)), "now")
    assert server.registry.models() == {"ant": [1], "zebra": [1]}


def test_a_version_half_published_is_not_seen(server: RegistryServer, tmp_path: Path) -> None:
    server.publisher.publish(release_of(package(tmp_path / "1")), "now")
    server.written.claim("small", 2, release_of(package(tmp_path / "2", version=2)).digest)
    assert server.registry.versions("small") == [1]


def test_many_versions_come_in_pages(server: RegistryServer) -> None:
    dynamodb = server.client("dynamodb")
    # over 1 MB in all, so that DynamoDB answers in pages
    for number in range(1, 8):
        item = {
            "model": {"S": "small"},
            "item": {"S": f"version#{number:08d}"},
            "version": {"N": str(number)},
            "digest": {"S": "d" * 200_000},
            "seal": {"S": "s"},
            "size": {"N": "1"},
            "created": {"S": "now"},
        }
        dynamodb.put_item(TableName=server.table, Item=item)
    with pytest.raises(NotFound):
        server.registry.route("small")
    route = {"model": {"S": "small"}, "item": {"S": "route"}}
    rest = {
        "live": {"N": "3"},
        "revision": {"N": "9"},
        "canary": {"N": "4"},
        "canary_share": {"N": "0.05"},
        "shadow": {"N": "5"},
    }
    dynamodb.put_item(TableName=server.table, Item={**route, **rest})
    found = server.registry.route("small")
    assert sorted(found.versions) == list(range(1, 8))
    assert (found.live, found.revision, found.canary, found.canary_share, found.shadow) == (
        3,
        9,
        4,
        0.05,
        5,
    )


def test_a_table_that_cannot_be_read_is_transient(url: str) -> None:
    with pytest.raises(Transient, match=r"^dynamodb refused Query \(ResourceNotFoundException\)$"):
        RegistryServer(url, "none", "no-such-table").registry.route("small")
