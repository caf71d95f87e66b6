"""The captures' bucket, against moto; the captures in memory under the same contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kits.aws import client, environ, moto_server

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.captures.store import MemoryCaptures

Captures = CaptureBucket | MemoryCaptures


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(params=["memory", "s3"])
def captures(request: pytest.FixtureRequest) -> Captures:
    if request.param == "memory":
        return MemoryCaptures()
    url = request.getfixturevalue("url")
    client("s3", url).create_bucket(Bucket="captures")
    return CaptureBucket(AwsClient("s3", environ=environ(url)), "captures")


def body(captures: Captures, key: str) -> bytes | None:
    found = captures.get(key)
    return None if found is None else found.body


def test_what_is_put_is_listed_read_and_deleted(captures: Captures) -> None:
    for key in ("raw/model=m/b", "raw/model=m/a", "captures/model=m/a"):
        captures.put(key, key.encode())
    assert captures.keys("raw/") == ["raw/model=m/a", "raw/model=m/b"]
    assert body(captures, "raw/model=m/a") == b"raw/model=m/a"
    captures.delete(["raw/model=m/a", "raw/model=m/none"])
    assert captures.keys("raw/") == ["raw/model=m/b"]
    assert captures.get("raw/model=m/a") is None
    captures.delete(["raw/model=m/b", "captures/model=m/a"])


def test_an_object_is_swapped_only_if_it_is_the_one_that_was_read(captures: Captures) -> None:
    assert captures.swap("captures/x", b"1", None)
    assert not captures.swap("captures/x", b"2", None)
    held = captures.get("captures/x")
    assert held is not None
    assert captures.swap("captures/x", b"2", held.tag)
    assert not captures.swap("captures/x", b"3", held.tag)
    assert captures.swap("captures/x", b"2", held.tag)  # a reply that was lost: it is there
    assert body(captures, "captures/x") == b"2"
    captures.delete(["captures/x"])
    assert not captures.swap("captures/x", b"3", held.tag)
    assert captures.get("captures/x") is None
