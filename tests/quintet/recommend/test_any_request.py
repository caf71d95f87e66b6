"""Any request, whatever the state of the stores: a whole answer, or a refusal of the request."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.models import NOW
from tests.kits.recommending import RULE, Shop, only, sold_out

from quintet.contract import Filters

#: values of JSON that may stand anywhere
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=120),
    st.lists(st.integers(-5, 60), max_size=4),
)
ITEMS = st.lists(st.integers(-2, 60), max_size=60)
BODIES = st.one_of(
    ANYTHING,
    st.fixed_dictionaries(
        {},
        optional={
            "items": ITEMS | ANYTHING,
            "device": st.text(max_size=20) | ANYTHING,
            "time": st.sampled_from([NOW, "2023-11-14T12:00:00Z"]) | ANYTHING,
            "segment": st.sampled_from(["fr", "de", ""]) | ANYTHING,
            "top": st.integers(1, 100) | ANYTHING,
            "other": ANYTHING,
        },
    ),
)
RULES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "filters": st.builds(
            Filters,
            seen=st.booleans(),
            stock_max_age=st.sampled_from([None, 3600.0]),
            per_category=st.sampled_from([None, 1, 5]),
        ),
        "when_stale": st.sampled_from(["flag", "skip"]),
        "explore": st.sampled_from([0.0, 1.0]),
        "budget_ms": st.sampled_from([0.0, 10_000.0]),
    }
)


@settings(max_examples=100)
@given(
    body=BODIES,
    rule=RULES,
    user=st.sampled_from(["u1", "cold", "odd"]),
    state=st.sets(st.sampled_from(["down", "unread", "old", "sold", "broken"])),
    canary=st.sampled_from([0.0, 1.0]),
)
def test_there_are_items_or_the_request_is_refused(
    body: Any, rule: dict[str, Any], user: str, state: set[str], canary: float
) -> None:
    broken = {1} if "broken" in state else set[int]()
    shop = Shop(rule={**rule, "category": "category"}, canary=canary, broken=broken)
    shop.has("odd", [60, 13, 13, 7], [50.0, 14.0, 13.5, -9.0], segment="fr", taste=None)
    stock = {"sold_out": sold_out(10, 40, 13), "stock_at": NOW - 60} if "sold" in state else {}
    popular = {"": [*range(1, 51)], "fr": [30, 31]}
    shop.shows(popular, age=10**6 if "old" in state else 60, **stock)
    assert shop.get("u1").status == 200  # the run is known from here on
    shop.reads.down, shop.reads.unread = "down" in state, "unread" in state
    told = shop.post(user, body)
    if told.status != 200:
        assert told.status == 400
        assert told.body["detail"]
        return
    fields = body or {}
    top = fields.get("top") or RULE.top
    items = told.items
    assert 1 <= len(items) <= top
    assert len(set(items)) == len(items)
    if "seen_shown" not in told.body["why"] and rule["filters"].seen:
        assert not {*items} & {*(fields.get("items") or [])}
    if stock and rule["filters"].stock_max_age:
        assert not {10, 40, 13} & {*items}
    impression = told.captures[-1]["impression"]
    assert impression["items"] == items
    assert sorted(impression["ranked"]) == sorted(items)
    assert len(impression["propensity"]) == len(items)
    assert all(0 < one <= 1 for one in impression["propensity"])


def test_the_whole_list_can_be_left_out_but_for_what_was_seen() -> None:
    shop = Shop(rule=only(stock_max_age=3600))
    shop.shows({"": [40]}, sold_out=sold_out(40), stock_at=NOW - 60)
    told = shop.post("cold")
    assert told.status == 404
    assert told.body["detail"] == (
        "items: expected some that no filter leaves out, got none in run 2023-11-14-night of made"
    )
