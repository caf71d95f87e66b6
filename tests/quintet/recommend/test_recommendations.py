"""Recommendations over stores in memory: what is shown, why, and what is kept of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.kits.models import NOW
from tests.kits.recommending import RANKER, RUN, Shop, only, sold_out

from quintet.contract import Capture, Contract, Fallback, Feature, Input, Output


def test_a_session_changes_what_is_recommended() -> None:
    shop = Shop()
    plain, session = shop.post("u1"), shop.post("u1", {"items": [25, 5]})
    # 4 - 10, 3 - 20, 2 - 30; with a session of 30: 2 - 0, 1 - 10, 3 - 10 (the first of equals)
    assert plain.body == {
        "impression": plain.body["impression"],
        "model": "ranker",
        "version": 1,
        "route": "live",
        "user": "u1",
        "step": "reranked",
        "why": "",
        "stale": False,
        "candidates": {"run": RUN, "age_s": 3600.0},
        "items": [
            {"item": 10, "score": -6.0},
            {"item": 20, "score": -17.0},
            {"item": 30, "score": -28.0},
        ],
        "filtered": {"unknown": 0, "seen": 0, "stock": 0, "category": 0},
    }
    assert (session.status, session.items) == (200, [30, 20, 40])
    assert session.body["impression"] == session.headers["X-Quintet-Event"]


def test_what_was_shown_is_kept_beside_the_features_that_were_used() -> None:
    shop = Shop(rule=only(seen=True))
    told = shop.post("u1", {"items": [7, 20, 7, 99], "device": "phone", "time": NOW - 5})
    rows, impression = told.captures
    assert rows["event"] == impression["event"] == told.body["impression"]
    assert rows["features"][0] == [[10], [20], [30], [40]]
    assert rows["features"][3] == [[20, 7]] * 4
    assert impression["rows"] == 4
    assert impression["impression"] == {
        "user": "u1",
        "step": "reranked",
        "why": "",
        "items": [30, 40, 10],
        "propensity": [1.0, 1.0, 1.0],
        "explored": False,
        "ranked": [30, 40, 10],
        "candidates": {"model": "made", "version": 7, "run": RUN, "age_s": 3600.0},
        "filtered": {"unknown": [], "seen": [20], "stock": [], "category": []},
        "context": {
            "items": [20, 7],
            "unknown": 1,
            "device": "phone",
            "time": NOW - 5,
            "segment": "",
        },
    }
    assert {
        name: told.log.get(name)
        for name in ("message", "step", "why", "items", "rows", "filtered", "candidates_run")
    } == {
        "message": "recommended",
        "step": "reranked",
        "why": None,
        "items": 3,
        "rows": 4,
        "filtered": {"seen": 1},
        "candidates_run": RUN,
    }
    steps = ["load_ms", "read_ms", "decode_ms", "features_ms", "score_ms", "filter_ms", "total_ms"]
    assert [name for name in told.log if name.endswith("_ms")] == steps
    assert told.metrics["recommended_reranked_count"] == [1.0]


def test_the_page_shows_an_answer_of_this_form() -> None:
    page = (Path(__file__).parents[3] / "docs/recommend-rank.md").read_text(encoding="utf-8")
    found = re.findall(r"recommendations/\d+\".*? -d '(.*?)'\n(\{.*?)```", page, re.DOTALL)
    body, shown = map(json.loads, found[0])
    told = Shop().post("u1", body)

    def form(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: form(member) for name, member in value.items()}
        return [form(value[0])] if isinstance(value, list) else type(value)

    assert form(told.body) == form(shown)
    assert len(told.items) == len(shown["items"]) == body["top"]


def test_a_request_without_a_body_has_no_context() -> None:
    shop = Shop()
    assert shop.get("u1").items == shop.post("u1").items == [10, 20, 30]
    assert shop.get("u1", top="1").items == [10]
    assert shop.get("nobody", segment="fr").items == [30, 31]


def test_two_reads_for_the_first_request_and_one_for_the_next() -> None:
    shop = Shop()
    for user in ("u1", "u2", "u1"):
        shop.get(user)
    assert shop.reads.read == ["shown made", "user u1", "user u2", "user u1"]
    shop.clock.now += 11
    shop.get("u1")
    assert shop.reads.read[4:] == ["shown made", "user u1"]


def no_features(shop: Shop) -> None:
    shop.reads.unread = True


def down(shop: Shop) -> None:
    shop.get("u1")  # the run is known
    shop.reads.down = True


def old(shop: Shop) -> None:
    shop.shows({"": [40, 41, 42, 43]}, age=200_000)


def french(shop: Shop) -> None:
    shop.has("u1", [99], [1.0], segment="fr")


def sold(shop: Shop) -> None:
    shop.shows({"": [40, 41, 42]}, sold_out=sold_out(40, 10, 20, 30), stock_at=NOW - 60)


def long_ago(shop: Shop) -> None:
    shop.shows({"": [40]}, sold_out=sold_out(10), stock_at=NOW - 7200)


@pytest.mark.parametrize(
    ("user", "rule", "change", "found"),
    [
        ("u1", {}, None, ("reranked", "", [10, 20, 30])),
        ("cold", {}, None, ("popular", "no_candidates", [40, 41, 42])),
        ("u1", {"budget_ms": 0}, None, ("candidates", "budget", [10, 20, 30])),
        ("u1", {}, no_features, ("candidates", "features", [10, 20, 30])),
        ("u1", {}, down, ("popular", "store_failed", [40, 41, 42])),
        ("u1", {}, old, ("reranked", "", [10, 20, 30])),
        ("u1", {"when_stale": "skip"}, old, ("popular", "stale", [40, 41, 42])),
        ("u1", {}, french, ("segment", "all_unknown, all_filtered", [30, 31])),
        (
            "u1",
            only(stock_max_age=3600),
            sold,
            ("popular", "all_filtered", [41, 42]),
        ),
        ("u1", only(stock_max_age=3600), long_ago, ("reranked", "stock_old", [10, 20, 30])),
        ("u1", only(stock_max_age=3600), None, ("reranked", "stock_old", [10, 20, 30])),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_step_of_the_ladder(
    user: str, rule: dict[str, Any], change: Any, found: tuple[str, str, list[int]]
) -> None:
    shop = Shop(rule=rule)
    if change:
        change(shop)
    told = shop.get(user)
    assert told.status == 200
    assert (told.body["step"], told.body["why"], told.items) == found
    assert told.body["stale"] is (change is old)
    assert told.metrics[f"recommended_{found[0]}_count"] == [1.0]
    assert told.captures[-1]["impression"]["items"] == found[2]


def test_a_ranker_that_fails_is_evidence_though_its_answer_is_whole() -> None:
    shop = Shop(canary=1.0)
    shop.has("u1", [10, 20], [13.0, 1.0])
    told = shop.post("u1")
    assert (told.status, told.body["step"], told.body["why"]) == (200, "candidates", "model_failed")
    assert (told.items, told.body["version"], told.body["route"]) == ([10, 20], 2, "canary")
    begun, failed, impression = told.captures
    assert begun["begun"] == 1
    assert (failed["failure"], failed["rollout"], failed["entity"]) == (
        "ModelFailure",
        "r1#0",
        "u1",
    )
    assert failed["event"] == impression["event"] == told.body["impression"]
    # what the live version is asked about, in comparison
    assert (failed["index"], failed["entities"]) == ([0], ["u1"])
    assert failed["features"] == [[[10]], [[13.0]], [[1.0]], [[]]]
    assert impression["about"]["version"] == 2
    assert (told.log["level"], told.log["error"]) == ("WARNING", "ModelFailure")
    assert told.metrics["hidden_failures_count"] == [1.0]


def test_one_version_answers_all_rows_of_a_user() -> None:
    shop = Shop(canary=0.5)
    routes = set()
    for number in range(40):
        shop.has(f"u{number}", [1, 2, 3, 4], [1.0] * 4)
        told = shop.post(f"u{number}")
        assert told.body["step"] == "reranked"
        routes.add((told.body["version"], told.body["route"], told.headers["X-Quintet-Version"]))
    assert routes == {(1, "live", "1"), (2, "canary", "2")}


def test_a_live_version_that_does_not_load_leaves_the_candidates() -> None:
    told = Shop(broken={1}).post("u1")
    assert (told.status, told.body["step"], told.body["why"]) == (200, "candidates", "model_failed")
    assert (told.body["version"], told.items) == (1, [10, 20, 30])
    failed, impression = told.captures
    assert (failed["failure"], impression["impression"]["step"]) == ("ModelFailure", "candidates")


def test_a_canary_that_does_not_load_leaves_the_live_version() -> None:
    told = Shop(canary=1.0, broken={2}).post("u1")
    assert (told.body["step"], told.body["version"], told.items) == ("reranked", 1, [10, 20, 30])
    assert told.captures[0]["failure"] == "ModelFailure"  # of the version that was taken out


def test_a_fallback_rule_ranks_nothing() -> None:
    contract = replace(RANKER, fallback=Fallback(otherwise={"rank": 0.0, "category": 0}))
    shop = Shop(contract)
    shop.reads.unread = True
    told = shop.post("u1")
    assert (told.body["step"], told.body["why"]) == ("candidates", "features")


def test_without_captures_there_is_no_impression() -> None:
    told = Shop(replace(RANKER, capture=None)).post("u1")
    assert (told.body["impression"], told.captures) == (None, [])
    assert "X-Quintet-Event" not in told.headers
    left_out = Shop(replace(RANKER, capture=Capture(rate=0.0))).post("u1")
    assert (left_out.body["impression"], left_out.captures) == (None, [])


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        (
            lambda shop: shop.reads.runs.clear(),
            404,
            "candidates: expected a run of made that made candidates, got none: score a file of "
            "users with `quintet drop FILE made`",
        ),
        (
            lambda shop: setattr(shop.reads, "down", True),
            503,
            "the run of made that readers see cannot be read now, try again: the store is down",
        ),
        (
            lambda shop: shop.shows({}),
            404,
            "candidates: expected a user's candidates or popular items, got none for the user, and "
            f"run {RUN} has no list of popular items: run made again",
        ),
    ],
)
def test_nothing_to_show_says_what_to_do(change: Any, status: int, detail: str) -> None:
    shop = Shop()
    change(shop)
    told = shop.get("nobody")
    assert (told.status, told.body["detail"]) == (status, detail)
    assert [line.get("impression") for line in told.captures] == [None]


def test_what_is_seen_is_shown_again_rather_than_nothing() -> None:
    told = Shop().post("nobody", {"items": [40, 41, 42, 43]})
    assert (told.status, told.body["why"]) == (200, "no_candidates, seen_shown")
    assert told.items == [40, 41, 42]


def test_a_model_that_ranks_nothing_and_one_that_is_not_there() -> None:
    shop = Shop()
    assert shop.post("u1", model="nothing").status == 404
    ranks = replace(RANKER, recommend=None)
    shop.online.models._loader.contracts = {1: ranks, 2: ranks}  # type: ignore[attr-defined]
    told = shop.post("u1")
    assert (told.status, told.body["detail"]) == (
        404,
        "model: expected a model with `recommend` in its contract, got 'ranker', which ranks no "
        "candidates",
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "body: expected JSON in UTF-8 with finite numbers"),
        ([], "body: expected an object, got an array"),
        ({"item": [1]}, "body: expected keys of device, items, segment, time, top, got 'item'"),
        ({"items": "1"}, "items: expected an array of the numbers of items, got '1'"),
        ({"items": [1, True]}, "items: expected an array of the numbers of items, got [1, true]"),
        ({"items": [1.5]}, "items: expected an array of the numbers of items, got [1.5]"),
        (
            {"items": [*range(10_000)]},
            "items: expected at most 1,000 items: send the newest, got 10,000",
        ),
        ({"device": 5}, "device: expected a text of at most 100 characters, got a number"),
        ({"segment": "x" * 101}, "segment: expected a text of at most 100 characters"),
        ({"time": "noon"}, "time: expected epoch seconds, or RFC 3339 such as 2026-01-31T12:00"),
        ({"time": 20231114}, "time: expected epoch seconds, or RFC 3339 such as 2026-01-31T12:00"),
        ({"top": 0}, "top: expected a number from 1 to 100, got 0"),
        ({"top": 101}, "top: expected a number from 1 to 100, got 101"),
    ],
)
def test_a_bad_context_is_refused(body: Any, detail: str) -> None:
    told = Shop().post("u1", body)
    assert told.status == 400
    assert told.body["detail"].startswith(detail)


def test_bad_users_queries_and_methods_are_refused() -> None:
    shop = Shop()
    assert shop.get("x" * 513).body["detail"] == "user: expected at most 512 characters, got 513"
    assert shop.get("u1", top="many").status == 400
    assert shop.get("u1", items="1").body["detail"] == (
        "query: expected keys of segment, top; others are for POST, got 'items'"
    )
    assert shop.ask("DELETE", "u1", b"", {}).status == 405


def test_a_user_may_have_any_characters_and_a_number_has_one_form() -> None:
    shop = Shop()
    for user in ("a/b", "17850", "né"):
        shop.has(user, [5], [1.0])
    assert shop.get("a%2Fb").body["user"] == "a/b"
    assert shop.get("17850.0").body["user"] == "17850"
    assert shop.get("n%C3%A9").items == [5]


def test_items_of_a_context_that_nobody_knows_are_left_out() -> None:
    shop = Shop()
    told = shop.post("u1", {"items": [0, -3, 99, 10**17, 25, 5, 25]})
    assert told.captures[-1]["impression"]["context"]["items"] == [5, 25]
    assert told.log["unknown_context_items"] == 4
    many = shop.post("u1", {"items": [*range(1, 51)] * 20})
    assert many.captures[-1]["impression"]["context"]["items"] == [48, 49, 50]
    assert (many.status, many.body["step"]) == (200, "popular")  # all candidates are seen


def test_candidates_that_the_ranker_does_not_know_are_filtered() -> None:
    shop = Shop()
    shop.has("u1", [60, 10, 20, 10], [9.0, 4.0, 3.0, 2.0])
    told = shop.post("u1")
    assert told.items == [10, 20]
    assert told.captures[-1]["impression"]["filtered"]["unknown"] == [60]
    assert told.log["filtered"] == {"unknown": 1}


def test_a_score_that_was_rounded_beyond_its_range_is_ranked() -> None:
    shop = Shop()
    shop.has("u1", [10, 20], [20.001, -7.0])
    assert shop.post("u1").body["items"][1] == {"item": 20, "score": -25.0}


def test_at_most_so_many_items_of_a_category() -> None:
    shop = Shop(rule={**only(per_category=1), "category": "category", "top": 2})
    shop.has("u1", [3, 6, 9, 10, 11], [1.0] * 5)
    told = shop.post("u1")
    assert told.items == [3, 10]  # 11 has a category of its own, and comes after them
    assert told.captures[-1]["impression"]["filtered"]["category"] == [6, 9]


#: a ranker with a context of its own: the device changes the order
CONTEXT = replace(
    RANKER,
    features=(
        *RANKER.features,
        Feature(name="device", dtype="string", categories=("phone", "desk"), default="desk"),
        Feature(name="time", dtype="int64", range=(0, 2_000_000_000)),
    ),
    inputs=(
        *RANKER.inputs,
        Input(name="device", dtype="string", shape=(-1, 1)),
        Input(name="time", dtype="int64", shape=(-1, 1)),
    ),
)


class Echo:
    """Ranks by the time, and notes what it was given."""

    due = None

    def __init__(self, contract: Contract) -> None:
        self.contract, self.digest = contract, "d"
        self.feeds: dict[str, Any] = {}

    def run(self, outputs: Any, feeds: dict[str, Any]) -> list[Any]:
        """See `quintet.scoring.Model.run`."""
        self.feeds = feeds
        return [feeds["time"].astype("float32"), feeds["item"]]


def test_the_context_reaches_the_ranker_in_every_row() -> None:
    shop = Shop(CONTEXT)
    seen: list[Echo] = []

    class Loader:
        def load(self, model: str, version: int, seal: str | None = None) -> Echo:
            rule = shop.recommender.contracts.get("ranker").contract
            seen.append(Echo(replace(rule, version=version)))
            return seen[-1]

    shop.online.models._loader = Loader()
    told = shop.post("u1", {"device": "phone", "time": "2023-11-14T12:00:00Z"})
    assert told.body["step"] == "reranked"
    assert seen[0].feeds["device"].tolist() == [["phone"]] * 4
    assert seen[0].feeds["time"].tolist() == [[1_699_963_200]] * 4
    shop.get("u1")
    assert seen[0].feeds["device"].tolist() == [["desk"]] * 4
    assert seen[0].feeds["time"].tolist() == [[int(NOW)]] * 4
    bad = shop.post("u1", {"device": "toaster"})
    assert (bad.status, bad.body["detail"]) == (
        400,
        "device: expected one of phone, desk, got 'toaster'",
    )
    assert shop.post("u1", {"color": "red"}).status == 400


def test_a_session_of_a_fixed_size_is_filled_up() -> None:
    features = [
        replace(one, shape=(3,), max=None, pad=None, range=None, default=0)
        if one.name == "session"
        else one
        for one in RANKER.features
    ]
    inputs = [
        replace(one, shape=(-1, 3)) if one.name == "session" else one for one in RANKER.inputs
    ]
    shop = Shop(replace(RANKER, features=tuple(features), inputs=tuple(inputs)))
    told = shop.post("u1", {"items": [25, 5]})
    assert told.items == [30, 20, 40]
    assert told.captures[0]["features"][3] == [[25, 5, 0]] * 4


def test_a_shop_whose_ranker_has_no_other_features() -> None:
    contract = replace(
        RANKER,
        features=RANKER.features[:1],
        inputs=(Input(name="item", dtype="int64", shape=(-1, 1)),),
        outputs=(Output(name="rank", dtype="float32", shape=(-1, 1), meaning="score"),),
    )
    shop = Shop(contract, rule={"score": None, "session": None})

    class Loader:
        def load(self, model: str, version: int, seal: str | None = None) -> Any:
            made = Echo(shop.recommender.contracts.get("ranker").contract)
            made.run = lambda outputs, feeds: [feeds["item"].astype("float32")]  # type: ignore[method-assign]
            return made

    shop.online.models._loader = Loader()
    assert shop.post("u1", {"items": [40]}).items == [30, 20, 10]
