"""Which version answers whom: sticky, nested, and in proportion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.kits.canary import ROUTE

from quintet.serving.routes import Route
from quintet.serving.routing import Choice, assigned, bucket, entity_hash, keys_of, row_keys

ENTITIES = [f"c{number}" for number in range(4_000)]


def with_canary(route: Route, entities: list[str]) -> set[str]:
    """The entities that the canary answers."""
    keys = keys_of(entities, len(entities), "r", whole=False)
    found = assigned(route, keys)
    return {entities[row] for c, rows in found.items() if c.route == "canary" for row in rows}


@pytest.mark.parametrize("rollout", ["r1", "r2", "r3", "r4", "r5"])
def test_an_entity_keeps_its_version_and_growth_is_nested(rollout: str) -> None:
    before: set[str] = set()
    for share in (0.0, 0.01, 0.1, 0.5, 1.0):
        route = replace(ROUTE, rollout=rollout, canary_share=share)
        now = with_canary(route, ENTITIES)
        shuffled = np.random.default_rng(7).permutation(ENTITIES).tolist()
        assert with_canary(route, shuffled) == now
        assert {name for name in ENTITIES[::40] if with_canary(route, [name])} == now & {
            *ENTITIES[::40]
        }
        assert before <= now
        deviation = np.sqrt(share * (1 - share) * len(ENTITIES))
        assert abs(len(now) - share * len(ENTITIES)) <= 3 * deviation
        before = now
    assert len(before) == len(ENTITIES)


def test_each_rollout_draws_anew() -> None:
    """Two rollouts at 50 % share a quarter of the entities."""
    one, two = (with_canary(replace(ROUTE, rollout=r), ENTITIES) for r in ("r1", "r2"))
    both = len(one & two) / len(ENTITIES)
    assert abs(both - 0.25) < 3 * np.sqrt(0.25 * 0.75 / len(ENTITIES))


def test_buckets_and_hashes_are_these_for_ever() -> None:
    """A canary's entities must not change hands because the code was deployed."""
    assert bucket("shop", "r1", "c1") == 0.753690903222256
    assert f"{entity_hash('shop', 'c1'):016x}" == "f0ad2769c941edd9"
    assert entity_hash("other", "c1") != entity_hash("shop", "c1")
    assert entity_hash("shop", "\ud800") >= 0


def test_rows_without_an_entity_go_by_the_request_and_never_by_an_override() -> None:
    route = replace(ROUTE, overrides={"r": 4})
    assert assigned(route, keys_of(None, 3, "r", whole=False)).keys() <= {
        Choice(3, "live", "r1#1"),
        Choice(4, "canary", "r1#1"),
    }
    found = {
        next(iter(assigned(ROUTE, keys_of([""] * 2, 2, f"q{number}", whole=False)))).route
        for number in range(50)
    }
    assert found == {"live", "canary"}


def test_overrides_decide_before_the_share_and_are_no_evidence() -> None:
    route = replace(ROUTE, canary_share=1.0, overrides={"a": 3, "b": 4})
    found = {
        choice: rows.tolist() for choice, rows in assigned(route, ["b", "a", "c", "b"]).items()
    }
    assert found == {
        Choice(4, "canary", "r1#1"): [2],
        Choice(3, "pinned"): [1],
        Choice(4, "pinned"): [0, 3],
    }


def test_the_canary_is_asked_first_and_the_live_version_last() -> None:
    route = replace(ROUTE, overrides={"a": 2, "b": 9})
    assert list(assigned(route, ["a", "b", *ENTITIES[:20]])) == [
        Choice(4, "canary", "r1#1"),
        Choice(2, "pinned"),
        Choice(9, "pinned"),
        Choice(3, "live", "r1#1"),
    ]


def test_a_share_ends_before_the_bucket_that_equals_it() -> None:
    share = bucket("shop", "r1", "c1")
    assert with_canary(replace(ROUTE, canary_share=share), ["c1"]) == set()
    assert with_canary(replace(ROUTE, canary_share=np.nextafter(share, 1)), ["c1"]) == {"c1"}


def test_the_first_row_decides_for_a_whole_request() -> None:
    assert keys_of(["a", "b"], 2, "r", whole=True) == ["a", "a"]
    assert keys_of(["", "b"], 2, "r", whole=True) == ["\0r", "\0r"]
    assert keys_of(["", "b"], 2, "r", whole=False) == ["\0r", "b"]


def test_each_row_needs_an_entity_and_an_event() -> None:
    assert row_keys(["a", ""], ["e1", "e2"]) == ["a", "\0e2"]
    assert row_keys(None, ["e1", "e2"]) == ["\0e1", "\0e2"]
    for entities in (["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError):
            row_keys(entities, ["e1", "e2"])
