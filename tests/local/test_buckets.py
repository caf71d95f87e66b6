"""The patches to moto's buckets."""

from __future__ import annotations

from moto.s3.utils import _VersionedKeyStore

from quintet_local.hooks import latest_objects


def test_a_listing_goes_on_while_objects_are_deleted_and_put() -> None:
    keys = _VersionedKeyStore()
    for key in ("a", "b", "c"):
        for version in (1, 2):
            keys[key] = f"{key}{version}"
    found = latest_objects(keys)
    assert next(found) == ("a", "a2")
    dict.pop(keys, "b")
    keys["c"] = "c3"
    keys["d"] = "d1"
    assert list(found) == [("b", "b2"), ("c", "c3")]
